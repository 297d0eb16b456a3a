"""The experiment that nobody trained is one: the stages that the benchmarks time take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.generated_experiment import NAME, write_experiment
from benchmarks.report_at_scale import STAGES
from descentlab.__main__ import main
from descentlab.experiment.records import RUNS
from descentlab.storage.tables import read_table


@pytest.mark.usefixtures("own_folder")
def test_every_stage_takes_it() -> None:
    results = Path("results", NAME)
    written = write_experiment(results, 100, evaluations=8)
    for stage in STAGES:
        assert main([stage, str(results)]) == 0
    runs = read_table(results / "runs.parquet", RUNS)
    assert (runs["status"] == "finished").all()
    assert 90 <= len(runs) == written <= 100
    assert (Path("reports") / NAME / "index.html").exists()
