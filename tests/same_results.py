"""Two runs of one experiment whose results must be the same to the bit."""

from __future__ import annotations

from pathlib import Path

from pandas.testing import assert_frame_equal

from descentlab.records import EXAMPLES, HISTORY, RUNS, read_table

# What another run of the same trainings measures anew.
CLOCKS = ["started_at", "members", "train_seconds", "evaluation_seconds", "compile_seconds"]


def assert_same_results(one: Path, other: Path) -> None:
    """The tables and selections in two folders ``results/EXPERIMENT`` are the same, clocks apart."""
    for name, columns in (("runs", RUNS), ("history", HISTORY), ("examples", EXAMPLES)):
        found, expected = (
            read_table(results / f"{name}.parquet", columns).drop(columns=CLOCKS, errors="ignore")
            for results in (one, other)
        )
        assert len(expected) > 0
        assert_frame_equal(found, expected, check_exact=True, obj=f"{name}.parquet")
    assert (one / "selections.json").read_bytes() == (other / "selections.json").read_bytes(), "selections.json differs"
