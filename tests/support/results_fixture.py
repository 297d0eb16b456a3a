"""A results folder as the workflow leaves it, of the generated experiment: what compare reads is made up, the rest is real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from descentlab.analysis.comparison import write_comparison
from support.comparison_fixture import (
    generated_plan,
    generated_runs,
    generated_selections,
    of_optimizers,
    with_problems,
)
from support.generated_comparisons import compared


def write_results(
    folder: Path,
    runs: pd.DataFrame | None = None,
    selections: list[dict[str, Any]] | None = None,
    about: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    """Write plan.json, selections.json, claims.json and comparison/; ``about``: what differs in every problem."""
    plan = with_problems(generated_plan(**config), **(about or {}))
    names = [optimizer.name for optimizer in plan.config.optimizers]
    plan = of_optimizers(plan, names)
    runs = generated_runs(0) if runs is None else runs
    runs = runs[runs["optimizer"].isin(names)]
    selections = generated_selections() if selections is None else selections
    selections = [selection for selection in selections if selection["optimizer"] in names]
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder / "plan.json")
    (folder / "selections.json").write_text(json.dumps(selections))
    write_comparison(compared(plan, runs, selections=selections), folder / "comparison")
    return folder


def worse(optimizer: str, by: float) -> pd.DataFrame:
    """The runs with one optimizer's final test metric worse by so much, on every problem."""
    runs = generated_runs(0)
    mine = (runs["phase"] == "final") & (runs["optimizer"] == optimizer)
    sign = runs["higher_is_better"].map({True: 1, False: -1})
    runs.loc[mine, "test_metric"] -= by * sign[mine]
    return runs
