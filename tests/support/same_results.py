"""Two runs of one experiment whose results must be the same to the bit."""

from __future__ import annotations

from pathlib import Path

from pandas.testing import assert_frame_equal

from descentlab.experiment.records import EXAMPLES, HISTORY, RUNS
from descentlab.storage.tables import read_table

# What another run of the same trainings measures anew.
CLOCKS = ["started_at", "members", "train_seconds", "evaluation_seconds", "compile_seconds"]


def assert_same_tables(one: Path, other: Path, prefix: str = "") -> None:
    """The tables of runs, history and examples in two folders are the same, clocks apart.

    Args:
        one, other: ``results/EXPERIMENT``, or in it ``train/PROBLEM``.
        prefix: in ``train/PROBLEM``, the job's number and a dot.
    """
    for name, columns in (("history", HISTORY), ("runs", RUNS), ("examples", EXAMPLES)):
        found, expected = (
            read_table(folder / f"{prefix}{name}.parquet", columns).drop(columns=CLOCKS, errors="ignore")
            for folder in (one, other)
        )
        assert len(expected) > 0
        assert_frame_equal(found, expected, check_exact=True, obj=f"{name}.parquet")


def assert_same_results(one: Path, other: Path) -> None:
    """The tables and selections in two folders ``results/EXPERIMENT`` are the same, clocks apart."""
    assert_same_tables(one, other)
    assert (one / "selections.json").read_bytes() == (other / "selections.json").read_bytes(), "selections.json differs"
