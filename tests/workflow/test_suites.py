"""The suites hold every built-in problem but the slides' count of parameters, and the large one is a workflow as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from descentlab.experiment.config import load_config
from descentlab.experiment.jobs import cut_jobs
from descentlab.problems.table import BUILTIN_PROBLEMS
from support.workflow_fixture import ROOT, run_snakemake

SUITES = [ROOT / "workflow/config" / name for name in ("suite.yaml", "suite_full.yaml")]


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_suite_has_every_problem_but_the_slides_small_network(path: Path) -> None:
    problems = {problem.problem for problem in load_config(path).problems}
    assert problems == set(BUILTIN_PROBLEMS) - {"slides_mlp"}
    assert len(problems) == 20


def test_the_large_suite_plans_its_jobs(tmp_path: Path) -> None:
    """A dry run: a job of training for every batch of optimizers, and what follows them, up to the report."""
    ran = run_snakemake(tmp_path, "-n", config=SUITES[1])
    assert ran.returncode == 0, ran.stdout[-2000:]
    stats = ran.stdout.split("Job stats:", 1)[1].split("\n\n")[0].splitlines()[3:]
    counts = {line.split()[0]: int(line.split()[1]) for line in stats}
    assert counts["plan"] == counts["report"] == 1
    jobs = cut_jobs(load_config(SUITES[1]))
    assert counts["train"] == sum(len(of_problem) for of_problem in jobs.values())
