"""The columns of the tables that training hands to the later stages.

Stages communicate only through files, so the meaning of a column (type, unit, whether higher or lower is better) is declared
once, here; tables are checked against it when written and when read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from descentlab.problems.splits import SPLITS
from descentlab.storage.tables import Column

if TYPE_CHECKING:
    import pandas as pd


def rate_in_table(rate: float | None) -> float:
    """A learning rate as a table's column holds it: NaN if the optimizer has none."""
    return math.nan if rate is None else rate


def rate_from_table(value: float) -> float | None:
    """The learning rate in a table's column; None if the optimizer has none."""
    return None if math.isnan(value) else value


def optimum_gap(run: Mapping[str, Any] | pd.DataFrame) -> Any:
    """How far above the least possible training loss a run ended, penalty included; a column of it for a table of runs.

    Args:
        run: a row of RUNS as a mapping, or the table itself; NaN where the optimum is not known.
    """
    return run["train_loss"] + run["penalty"] - run["optimum"]


def _measures(moment: str, where: str) -> dict[str, Column]:
    """The columns of loss and metric on each split at one moment of a run."""
    columns = {}
    for split in SPLITS:
        sealed = "; empty for tuning runs" if split == "test" else ""
        columns[f"{moment}{split}_loss"] = Column(
            "float64", "loss", "lower", f"mean loss on the {split} split {where}, without penalties{sealed}"
        )
        columns[f"{moment}{split}_metric"] = Column(
            "float64", "metric", "problem", f"mean of the problem's metric on the {split} split {where}{sealed}"
        )
    return columns


DECIMALS = 12  # of a mean that is compared with another: the last bits depend on the order of its seeds
HISTORY: dict[str, Column] = {
    "run_id": Column("str", "", "", "the run, as RunSpec.run_id"),
    "updates": Column("int64", "updates", "", "updates done before this evaluation"),
    "epoch": Column("float64", "epochs", "", "passes over the training set done before this evaluation"),
    "examples": Column("int64", "examples", "", "training examples processed before this evaluation"),
    "train_seconds": Column(
        "float64", "seconds", "lower", "wall time of the updates so far, evaluations and compilation not counted"
    ),
    "learning_rate": Column("float64", "", "", "learning rate of the next update (of the last one at the end)"),
    "penalty": Column("float64", "loss", "lower", "regularization added to the loss (the model's own losses)"),
    **_measures("", "at this evaluation"),
}
RUNS: dict[str, Column] = {
    "run_id": Column("str", "", "", "the run, as RunSpec.run_id"),
    "problem": Column("str", "", "", "problem"),
    "optimizer": Column("str", "", "", "optimizer"),
    "arm": Column("str", "", "", "one of default, tuned, extended"),
    "phase": Column("str", "", "", "one of tuning, sweep, final, added, neighbor, speed"),
    "learning_rate": Column("float64", "", "", "initial learning rate; NaN if the optimizer has none"),
    "schedule": Column("str", "", "", "schedule of the learning rate: a name, or an import path"),
    "hyperparameters": Column("str", "", "", "what the extended arm set, as JSON; empty elsewhere"),
    "batch_size": Column("int64", "examples", "", "examples per update"),
    "seed": Column("int64", "", "", "seed: same seed, same initial weights, split and data order"),
    "status": Column("str", "", "", "finished, diverged (worst possible result), failed (raised an error) or missing"),
    "message": Column("str", "", "", "why a run diverged or failed; empty otherwise"),
    "digest": Column("str", "", "", "the run's key in the run cache"),
    "init_hash": Column("str", "", "", "sha256 of the initial weights"),
    "split_hash": Column("str", "", "", "sha256 of the indices of the train, validation and test split"),
    "data_hash": Column("str", "", "", "sha256 of the problem's arrays"),
    "updates": Column("int64", "updates", "", "updates done"),
    "updates_planned": Column("int64", "updates", "", "budget in updates"),
    "examples": Column("int64", "examples", "", "training examples processed"),
    "started_at": Column("float64", "seconds", "", "when training began, in seconds since 1970 (UTC)"),
    "members": Column("int64", "", "", "runs that trained side by side, this one included; they share the clocks"),
    "train_seconds": Column("float64", "seconds", "lower", "wall time of the updates alone, per member"),
    "evaluation_seconds": Column("float64", "seconds", "lower", "wall time of the evaluations, per member"),
    "compile_seconds": Column("float64", "seconds", "lower", "compilation shared by the optimizer's runs of its job"),
    "device": Column("str", "", "", "device that trained the run"),
    "mode": Column(
        "str", "", "", "xla, patches or graph: how the run was compiled; keras or eager: by Keras' own step"
    ),
    "parameters": Column("int64", "", "", "trainable parameters of the model"),
    "state_bytes_per_parameter": Column("float64", "bytes", "lower", "optimizer variables, per trainable parameter"),
    "metric": Column("str", "", "", "name of the problem's metric"),
    "higher_is_better": Column("bool", "", "", "direction of the problem's metric"),
    "optimum": Column("float64", "loss", "lower", "least possible training loss plus penalty, where it is known"),
    "best_epoch": Column("float64", "epochs", "", "epoch of the best validation metric (the loss breaks ties)"),
    "penalty": Column("float64", "loss", "lower", "regularization in the loss at the end"),
    **_measures("", "at the end"),
    **_measures("best_", "at the best validation epoch"),
    **_measures("renormalized_", "at the end of a final run, with averages of BatchNormalization measured anew"),
}
BESIDE: dict[str, Column] = {
    "run_id": Column("str", "", "", "the run, as RunSpec.run_id"),
    "updates": Column("int64", "updates", "", "updates done before this evaluation"),
    "split": Column("str", "", "", "train, val or test"),
    "name": Column("str", "", "", "one of the problem's metrics beside its own, or weighted_loss"),
    "value": Column("float64", "", "", "mean over the split"),
}
EXAMPLES: dict[str, Column] = {
    "run_id": Column("str", "", "", "the final run"),
    "example": Column(
        "int64", "", "", "index of the test example in the problem's data, or number of a group of test examples"
    ),
    "score": Column(
        "float64",
        "metric",
        "problem",
        "the metric of this test example at the end; of a group, its jackknife value",
    ),
}
# What a job writes, in this order: the history is last, as it marks the job as complete.
JOB_TABLES: dict[str, dict[str, Column]] = {"examples": EXAMPLES, "beside": BESIDE, "runs": RUNS, "history": HISTORY}
