"""A run's evaluations as rows: means by split, divergence, final values and the best validation epoch."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from descentlab.problems.divergence import loss_bound
from descentlab.problems.splits import SPLITS
from descentlab.training.engine.member import Evaluation, Means


def spread_evenly(indices: np.ndarray, most: int) -> np.ndarray:
    """At most ``most`` of the indices, evenly spread.

    Example:
        >>> spread_evenly(np.arange(9), 3).tolist()
        [0, 4, 8]
    """
    return indices[np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int)]


def hash_arrays(arrays: Iterable[np.ndarray]) -> str:
    """sha256 of arrays, their types and shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def history_row(evaluation: Evaluation, batch_size: int, train_examples: int, rates: np.ndarray) -> dict[str, Any]:
    """An evaluation as a row of the history; what was not evaluated, such as a sealed test split, is NaN."""
    examples = evaluation.updates * batch_size
    row: dict[str, Any] = {
        "updates": evaluation.updates,
        "epoch": examples / train_examples,
        "examples": examples,
        "train_seconds": evaluation.train_seconds,
        "learning_rate": float(rates[min(evaluation.updates, len(rates) - 1)]),
        "penalty": evaluation.penalty,
    }
    for split, means in itertools.zip_longest(SPLITS, evaluation.means, fillvalue=Means(math.nan, math.nan)):
        row |= {f"{split}_loss": means.loss, f"{split}_metric": means.metric}
    return row


def beside_rows(evaluation: Evaluation, names: Sequence[str]) -> list[dict[str, Any]]:
    """What an evaluation found beside loss and metric, as rows of the table ``beside`` without ``run_id``."""
    return [
        {"updates": evaluation.updates, "split": split, "name": name, "value": value}
        for split, means in zip(SPLITS, evaluation.means, strict=False)
        for name, value in zip(names, means.beside, strict=True)
    ]


def divergence(first: dict[str, Any], row: dict[str, Any], factor: float, judged: Sequence[str] = ()) -> str:
    """Why a run counts as diverged after this evaluation; empty if it doesn't.

    Args:
        first: the evaluation of the initial weights, as a row of the history.
        row: this evaluation, likewise.
        factor: how many times the initial loss is too much, in training and in validation.
        judged: columns that the run is judged by, if this is its last evaluation: a metric that is no number is no result.
    """
    if not math.isfinite(row["train_loss"]) or not math.isfinite(row["val_loss"]):
        return f"loss not finite after {row['updates']} updates"
    for name in ("train_loss", "val_loss"):
        if row[name] > loss_bound(first[name], factor):
            times = f"more than {factor:g} times the initial {first[name]:.3g}"
            return f"{name} {row[name]:.3g}, {times}, after {row['updates']} updates"
    for name in judged:
        if not math.isfinite(row[name]):
            return f"{name} not finite after {row['updates']} updates"
    return ""


def moments(history: pd.DataFrame, sign: int) -> dict[str, Any]:
    """A run's final values and its best validation epoch, as columns of the table of runs.

    Args:
        history: the run's evaluations.
        sign: sign of the metric, 1 if higher is better and -1 otherwise.
    """
    last = history.iloc[-1]
    measures = [f"{split}_{what}" for split in SPLITS for what in ("loss", "metric")]
    record: dict[str, Any] = {name: last[name] for name in ("train_seconds", "penalty", *measures)}
    record |= {name: int(last[name]) for name in ("updates", "examples")}
    trained = history[(history["updates"] > 0) & history["val_loss"].notna()]
    if trained.empty:
        return {**record, "best_epoch": math.nan, **{f"best_{name}": math.nan for name in measures}}
    ranked = pd.DataFrame({"worse": -sign * trained["val_metric"], "loss": trained["val_loss"]})
    order = ranked.sort_values(["worse", "loss"])
    best = trained.loc[order.index[0]]
    return {**record, "best_epoch": float(best["epoch"]), **{f"best_{name}": float(best[name]) for name in measures}}
