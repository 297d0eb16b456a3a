"""The Slurm profile on a real cluster of two nodes: `make test-slurm`.

Both nodes get jobs, a node that dies in the middle of one costs another try, and the results are a laptop's to the bit.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from descentlab.experiment.records import RUNS
from descentlab.storage.tables import read_table
from support.same_results import assert_same_results
from support.slurm_cluster import NODES, SlurmCluster, missing_programs, slurm_cluster
from support.stored_experiment import assert_store_holds
from support.workflow_fixture import ROOT, snakemake_command, workflow_environment

PROFILE = ROOT / "workflow/profiles/slurm"
RESULTS = Path("results/test")
SECONDS = 1200  # of a whole run of test.yaml

MISSING = missing_programs()

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        bool(MISSING), reason=f"Slurm is not installed (Debian: slurm-wlm, munge): no {', '.join(MISSING)}"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("snakemake_executor_plugin_slurm") is None,
        reason="snakemake-executor-plugin-slurm is not installed: make test-slurm does it",
    ),
]


@pytest.fixture
def cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as running:
        yield running


def start_snakemake(cluster: SlurmCluster, folder: Path, *targets: str) -> subprocess.Popen[str]:
    """``snakemake --profile workflow/profiles/slurm`` in ``folder``; what it says is in ``snakemake.out`` there."""
    command = snakemake_command(folder, "--profile", str(PROFILE), *targets)
    environment = workflow_environment(base=cluster.environment)
    with (folder / "snakemake.out").open("w") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, text=True, env=environment, cwd=folder)


def finish(snakemake: subprocess.Popen[str], folder: Path) -> str:
    """What a run that must succeed has said."""
    status = snakemake.wait(SECONDS)
    said = (folder / "snakemake.out").read_text()
    assert status == 0, said
    return said


def trained(folder: Path) -> int:
    """How many runs the training of ``mlp`` says that it has trained itself, in its last try."""
    log = folder / "results/test/logs/train/mlp.0.log"
    found = re.findall(r"\((\d+) trained\)", log.read_text()) if log.exists() else []
    return int(found[-1]) if found else 0


def test_both_nodes_run_jobs_whose_results_are_those_of_a_laptop(
    cluster: SlurmCluster, finished_workflow: Path, tmp_path: Path
) -> None:
    finish(start_snakemake(cluster, tmp_path), tmp_path)
    ended = Counter((attempt.node, attempt.state) for attempt in cluster.attempts())
    assert set(ended) == {(node, "COMPLETED") for node in NODES}, ended
    print(f"jobs that each node has run: {dict(ended)}")
    assert_same_results(tmp_path / RESULTS, finished_workflow / RESULTS)
    assert (tmp_path / "reports/test/index.html").stat().st_size > 10_000
    assert_store_holds(f"sqlite:///{tmp_path}/results/mlflow.db", tmp_path / "results/test")


def test_a_node_that_dies_in_the_middle_of_a_job_costs_another_try(
    cluster: SlurmCluster, finished_workflow: Path, tmp_path: Path
) -> None:
    snakemake = start_snakemake(cluster, tmp_path, "collect")
    while trained(tmp_path) < 5:
        assert snakemake.poll() is None, (tmp_path / "snakemake.out").read_text()
        time.sleep(0.1)
    (node,) = [node for node, rule in cluster.running() if rule == "rule_train_wildcards_mlp_0"]
    assert cluster.kill_node(node) > 3  # slurmd, what watches its steps, the job
    first = trained(tmp_path)
    finish(snakemake, tmp_path)
    (died,) = [attempt for attempt in cluster.attempts() if attempt.state != "COMPLETED"]
    (other,) = set(NODES) - {node}
    tries = [(attempt.state, attempt.node) for attempt in cluster.attempts() if attempt.job == died.job]
    assert tries == [("NODE_FAIL", node), ("COMPLETED", other)]
    assert cluster.nodes()[node].startswith("down")
    # Of all trainings, the second try does those that the first hadn't; a run is in the cache before it is counted.
    runs = read_table(tmp_path / "results/test/train/mlp/0.runs.parquet", RUNS)
    of, second = runs["digest"].nunique(), trained(tmp_path)
    assert 0 < second <= of - first
    print(f"of {of} trainings {first} or more before the node died, {second} after")
    assert_same_results(tmp_path / RESULTS, finished_workflow / RESULTS)
