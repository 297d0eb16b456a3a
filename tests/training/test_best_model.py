"""Which final run's model is kept."""

from __future__ import annotations

import pandas as pd
import pytest

from descentlab.training.best_model import best_final_run


def finals(**columns: list[object]) -> pd.DataFrame:
    """Four finished final runs, seeds 0 to 3; the last is the best."""
    plain = {
        "run_id": list("abcd"),
        "phase": "final",
        "arm": "tuned",
        "status": "finished",
        "seed": range(4),
        "val_metric": [0.1, 0.2, 0.3, 0.4],
        "higher_is_better": True,
    }
    return pd.DataFrame({**plain, **columns})


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        (finals(), "d"),
        (finals(higher_is_better=[False] * 4), "a"),
        (finals(val_metric=[0.1, 0.4, 0.4, 0.2]), "b"),  # of equals the smallest seed
        (finals(status=["finished"] * 3 + ["diverged"]), "c"),
        (finals(arm=["tuned"] * 2 + ["default"] * 2), "b"),
        (finals(arm=["default"] * 4), None),
        (finals(phase=["final"] + ["neighbor"] * 3), "a"),
        (finals(phase=["tuning"] * 4), None),
        (finals(status=["diverged"] * 4), None),
    ],
)
def test_the_best_run_is_of_the_arm_by_validation(runs: pd.DataFrame, best: str | None) -> None:
    assert best_final_run(runs, "tuned") == best
