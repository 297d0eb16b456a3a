"""The result of one training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class RunResult:
    """The result of one training run.

    Attributes:
        record: a row of the table of runs, without the names that are specific to an experiment.
        history: rows of the table of histories, without ``run_id``.
        scores: the metric of each test example at the end, shape (test examples,); empty for tuning runs.
        weights: values of the model's variables at the end; empty for tuning runs.
        beside: rows of the table of what is recorded beside loss and metric, without ``run_id``.
    """

    record: dict[str, Any]
    history: pd.DataFrame
    scores: np.ndarray
    weights: list[np.ndarray]
    beside: pd.DataFrame = field(default_factory=pd.DataFrame)
