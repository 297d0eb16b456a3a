"""The measured cost of each optimizer's step relative to plain SGD's."""

from __future__ import annotations

from typing import Any

import pandas as pd

from descentlab.analysis.statistics.intervals import ratio_interval
from descentlab.optimizers.roles import PLAIN
from descentlab.storage.tables import Column, check_table

STEP_RATIO_COLUMNS: dict[str, Column] = {
    "model": Column("str", "", "", "slides_mlp, mlp, slides_cnn, large, or a problem of the experiment"),
    "parameters": Column("int64", "", "", "trainable parameters of the model"),
    "batch_size": Column("int64", "examples", "", "examples of a step"),
    "optimizer": Column("str", "", "", "optimizer"),
    "n": Column("int64", "", "", "rounds"),
    "update_microseconds": Column("float64", "microseconds", "lower", "median over rounds"),
    "update_ratio": Column("float64", "", "lower", "geometric mean over rounds of the update's time over plain SGD's"),
    "update_low": Column("float64", "", "lower", "lower end of its 95 % t interval (of logarithms)"),
    "update_high": Column("float64", "", "lower", "upper end"),
    "step_microseconds": Column("float64", "microseconds", "lower", "median over rounds"),
    "step_ratio": Column("float64", "", "lower", "geometric mean over rounds of the step's time over plain SGD's"),
    "step_low": Column("float64", "", "lower", "lower end of its 95 % t interval (of logarithms)"),
    "step_high": Column("float64", "", "lower", "upper end"),
    "state_bytes_per_parameter": Column("float64", "bytes", "lower", "optimizer variables, by trainable parameter"),
}


def summarize_step_cost(table: pd.DataFrame) -> pd.DataFrame:
    """How many times as long as plain SGD's each optimizer's update and step take, by model.

    Ratios are taken within each round, so that a machine that slows down for a while slows both sides; the result is their
    geometric mean over rounds, with the t interval of their logarithms.

    Args:
        table: a table of STEP_COST_COLUMNS.

    Returns:
        A table of STEP_RATIO_COLUMNS, one row per (model, batch size, optimizer), in the order of first appearance.

    Raises:
        ValueError: a model has no row of ``sgd``.
    """
    rows: list[dict[str, Any]] = []
    for (model, batch_size, optimizer), group in table.groupby(["model", "batch_size", "optimizer"], sort=False):
        reference = table[(table["model"] == model) & (table["optimizer"] == PLAIN)]
        if reference.empty:
            raise ValueError(
                f"step cost of model '{model}': no row of '{PLAIN}', which ratios are taken to; time it too"
            )
        same_batch = reference[
            reference["batch_size"] == batch_size
        ]  # none at full batch: compare with sgd's own batch
        reference = (same_batch if len(same_batch) else reference.drop_duplicates("round", keep="last")).set_index(
            "round"
        )
        own = group.set_index("round")
        rounds = own.index.intersection(reference.index)
        row: dict[str, Any] = {"model": model, "batch_size": batch_size, "optimizer": optimizer, "n": len(rounds)}
        for work in ("update", "step"):
            unit = f"{work}_microseconds"
            ratio = ratio_interval(own.loc[rounds, unit].to_numpy(), reference.loc[rounds, unit].to_numpy())
            row |= {unit: own[unit].median(), f"{work}_ratio": ratio.mean}
            row |= {f"{work}_low": ratio.low, f"{work}_high": ratio.high}
        rows.append(row | {name: own[name].iloc[0] for name in ("parameters", "state_bytes_per_parameter")})
    return check_table(pd.DataFrame(rows), STEP_RATIO_COLUMNS, "step cost ratios")
