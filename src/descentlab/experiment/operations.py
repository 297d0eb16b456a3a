"""Operations of an update: the columns of the table, which :mod:`descentlab.measurements.operations` measures."""

from __future__ import annotations

from descentlab.storage.tables import Column

REPEATED = 10  # updates on one gradient, to measure their size: a momentum of 0.9 then has two thirds of its speed
OPERATIONS_COLUMNS: dict[str, Column] = {
    "model": Column("str", "", "", "a standard model, or a problem of the experiment"),
    "parameters": Column("int64", "", "", "trainable parameters"),
    "batch_size": Column("int64", "examples", "", "of forward and backward pass"),
    "optimizer": Column("str", "", "", "optimizer, as the tuned arm has it"),
    "update_operations": Column(
        "float64", "operations", "lower", "of an update, per parameter; NaN where they can't be counted"
    ),
    "update_bytes": Column(
        "float64", "bytes", "lower", "that an update reads and writes, per parameter; NaN where they can't be counted"
    ),
    "update_size": Column(
        "float64",
        "weights",
        "",
        f"root mean square of update {REPEATED} on one batch's gradient, over the learning rate; NaN without a rate",
    ),
    "gradient_operations": Column(
        "float64",
        "operations",
        "lower",
        "of forward and backward pass on one batch, per parameter; NaN where they can't be counted",
    ),
}
