"""The searches of docs/mlflow.md, run as a reader runs them, find what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from descentlab.experiment.plan import TrainingPlan
from support.markdown_pages import blocks
from support.tracked_jobs import PROBLEM, RESULTS, some_runs, write_jobs

SHOW = """
import json
print(json.dumps({
    "means": means["tags.optimizer"].tolist(),
    "rates": list(rates.items()),
    "finals": finals["tags.descentlab.run_id"].tolist(),
    "diverged": diverged["tags.descentlab.run_id"].tolist(),
}))
"""


def searches() -> str:
    """The page's Python, on the fixture's experiment and problem instead."""
    (block,) = blocks("python", "docs/mlflow.md")
    text = block.text
    for written, here in (('"default"', '"generated"'), ("'mlp'", f"'{PROBLEM}'")):
        assert written in text
        text = text.replace(written, here)
    return text


@pytest.mark.usefixtures("own_folder")
def test_each_search_finds_what_the_page_says() -> None:
    from descentlab.tracking.track import track_problem

    runs = some_runs()
    write_jobs(runs)
    track_problem(TrainingPlan.read(RESULTS), RESULTS, PROBLEM, None)
    done = subprocess.run(
        [sys.executable, "-c", searches() + SHOW],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])

    finals = runs[(runs["phase"] == "final") & (runs["arm"] == "tuned")]
    ended = finals[finals["status"] == "finished"]
    means = ended.groupby("optimizer")["test_metric"].mean().sort_values(ascending=False)
    assert found["means"] == list(means.index) == ["adam", "momentum"]  # adam's true mean is higher by 0.1

    tuning = runs[(runs["optimizer"] == "adam") & (runs["phase"] == "tuning")]
    rates = tuning.groupby("learning_rate")["val_metric"].mean().sort_values(ascending=False)
    assert [float(rate) for rate, _ in found["rates"]] == list(rates.index)
    assert found["rates"][0][0] == "0.01"  # the middle of the grid, where validation is best
    assert [mean for _, mean in found["rates"]] == pytest.approx(list(rates))

    assert sorted(found["finals"]) == sorted(finals["run_id"])
    assert found["diverged"] == list(runs.loc[runs["status"] == "diverged", "run_id"])
    assert len(found["diverged"]) == 1
