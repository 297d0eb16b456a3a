"""``make soak``: processes of the workflow of test.yaml are killed at random moments, and nothing may come of it.

Each trial is a workflow in a fresh folder with a cache of its own. At moments drawn over the jobs of an undisturbed run one
process gets ``kill -9``: snakemake alone, so that its jobs live on as orphans; snakemake with all its jobs; a training; a
process of tracking. Snakemake is started again, as docs/reliability.md says, until it ends well. Then the tables are the
undisturbed run's to the bit, MLflow holds each run exactly once, and a last ``snakemake`` has nothing to do.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import LoggedModelStatus
from mlflow.tracking import MlflowClient

from descentlab.experiment.records import RUNS
from descentlab.storage.tables import read_table
from descentlab.tracking.entry import RUN_ID
from support.killed_workflow import KilledWorkflow, leftovers
from support.same_results import assert_same_results
from support.stored_experiment import assert_store_holds
from support.workflow_fixture import ROOT

# What is killed, in turn, and at which jobs' moments.
TARGETS: dict[str, Callable[[str], bool]] = {
    "snakemake, its jobs live on": lambda job: True,
    "training": lambda job: job.startswith("train "),
    "snakemake and its jobs": lambda job: True,
    "tracking": lambda job: job.startswith(("store", "track")),
}
KILLS_A_TRIAL = 20  # drawn; some moments never come, as what they wait for was done before
POLL_SECONDS = 0.1
RESULTS, REPORT, STORE = Path("results/test"), Path("reports/test/index.html"), Path("results/mlflow.db")


@dataclass(frozen=True)
class Kill:
    """What is to be killed, and when: ``seconds`` after the process of a job was first seen."""

    target: str
    job: str
    seconds: float


@dataclass
class Tally:
    """What happened.

    Attributes:
        tried, hit: kills by target; a hit met a living process.
        stages: jobs that were at work when something was killed.
        trials, identical: workflows, and those whose tables are the undisturbed run's.
        lost, doubled: runs that MLflow doesn't hold, and that it holds more than once.
        unlocks: how often a folder was locked.
        left: files written aside that a kill left.
        failures: what differed.
    """

    tried: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    trials: int = 0
    identical: int = 0
    lost: int = 0
    doubled: int = 0
    unlocks: int = 0
    left: int = 0
    failures: list[str] = field(default_factory=list)

    def lines(self, seconds: float) -> Iterator[str]:
        for target in TARGETS:
            yield f"{'kills: ' + target:36}{self.tried[target]:6}, {self.hit[target]} of a living process"
        yield f"{'kills':36}{self.tried.total():6}, {self.hit.total()} of a living process"
        yield f"{'at work at a kill':36}       {', '.join(f'{job} {n}' for job, n in sorted(self.stages.items()))}"
        yield f"{'trials':36}{self.trials:6}"
        yield f"{'identical results':36}{self.identical:6}"
        yield f"{'runs lost in MLflow':36}{self.lost:6}"
        yield f"{'runs doubled in MLflow':36}{self.doubled:6}"
        yield f"{'unlocks needed':36}{self.unlocks:6}"
        yield f"{'files written aside and left':36}{self.left:6}"
        yield f"{'seconds':36}{seconds:6.0f}"


def run_undisturbed(folder: Path, source: Path) -> dict[str, float]:
    """Run the workflow; how many seconds the process of each job was seen, the jobs in the order of their beginning."""
    workflow = KilledWorkflow(folder, source=source)
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    try:
        while workflow.snakemake.poll() is None:
            for job in workflow.jobs():
                first.setdefault(job.name, time.monotonic())
                last[job.name] = time.monotonic()
            time.sleep(POLL_SECONDS)
        check_ended_well(workflow)
    finally:
        workflow.end()
    return {job: last[job] - first[job] for job in first}


def draw_kills(rng: random.Random, usual: dict[str, float], count: int) -> list[Kill]:
    """Kills of every target in turn, each at a random job's random moment."""
    kills = []
    for number in range(count):
        target = list(TARGETS)[number % len(TARGETS)]
        job = rng.choice([job for job in usual if TARGETS[target](job)])
        kills.append(Kill(target, job, rng.random() * usual[job]))
    return kills


def run_trial(workflow: KilledWorkflow, kills: list[Kill], wanted: int, tally: Tally, name: str) -> None:
    """Kill whatever is due, and go on, until the workflow has ended well; at most ``wanted`` kills.

    Raises:
        AssertionError: it fails though nothing was killed.
    """
    begun, seen = time.monotonic(), dict[int, float]()
    disturbed = False
    while workflow.snakemake.poll() != 0:
        if workflow.snakemake.poll() is not None:
            assert disturbed, f"snakemake failed undisturbed:\n{workflow.output.read_text()[-3000:]}"
            workflow.go_on()
            disturbed = False
        jobs = workflow.jobs()
        now = time.monotonic()
        for job in jobs:
            seen.setdefault(job.pid, now)
        ages = {job.name: now - seen[job.pid] for job in jobs}
        due = [kill for kill in kills if ages.get(kill.job, -1.0) >= kill.seconds]
        if not due or wanted == 0:
            time.sleep(POLL_SECONDS)
            continue
        kill = due[0]
        kills.remove(kill)
        if kill.target.startswith("snakemake"):
            hit = workflow.kill_snakemake(with_jobs=kill.target == "snakemake and its jobs")
        else:
            hit = next(job for job in jobs if job.name == kill.job).kill()
        disturbed = True
        wanted -= hit
        tally.tried[kill.target] += 1
        tally.hit[kill.target] += hit
        tally.stages.update(list(ages))
        at = f"{kill.seconds:.1f} s after the beginning of {kill.job}; at work: {', '.join(ages)}"
        print(f"{name}, {now - begun:5.0f} s: {kill.target}, {at}{'' if hit else '; had ended'}", flush=True)


def check_ended_well(workflow: KilledWorkflow) -> None:
    """Raise an AssertionError with the end of what snakemake says where it has failed."""
    assert workflow.snakemake.wait() == 0, workflow.output.read_text()[-3000:]


def check_results(workflow: KilledWorkflow, truth: Path, tally: Tally) -> None:
    """Hold a trial's folder to the undisturbed run's.

    Raises:
        AssertionError, ValueError, OSError: something differs.
    """
    folder, store = workflow.folder, f"sqlite:///{workflow.folder / STORE}"
    tally.left += len(leftovers(folder / "results")) + len(leftovers(folder / "reports"))
    assert_same_results(folder / RESULTS, truth / RESULTS)
    tally.identical += 1
    count_runs(store, folder, tally)
    assert_store_holds(store, folder / RESULTS)
    assert (folder / REPORT).stat().st_size > (truth / REPORT).stat().st_size / 2
    workflow.go_on()
    check_ended_well(workflow)
    assert "Nothing to be done" in workflow.output.read_text(), workflow.output.read_text()[-3000:]


def count_runs(store: str, folder: Path, tally: Tally) -> None:
    """Runs that the store has not, or more than once; and its models, one of each problem and optimizer.

    Raises:
        AssertionError: a model is double, or not whole.
    """
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(RESULTS.name)
    assert experiment is not None, f"{store} has no experiment '{RESULTS.name}'"
    runs = read_table(folder / RESULTS / "runs.parquet", RUNS)
    found = Counter(
        run.data.tags.get(RUN_ID) for run in client.search_runs([experiment.experiment_id], max_results=5000)
    )
    tally.lost += len({*runs["run_id"]} - {*found})
    tally.doubled += found.total() - len(found)
    models = list(client.search_logged_models([experiment.experiment_id]))
    kept = sorted(f"{path.parent.name}-{path.stem}" for path in (folder / RESULTS / "models").glob("*/*.keras"))
    assert len(models) == len(kept), f"MLflow must hold one model each of {kept}; it has {len(models)}"
    assert all(model.status == LoggedModelStatus.READY for model in models), "a model in MLflow is not whole"


def copy_source(to: Path) -> Path:
    """The workflow and the package as they are now: an edit during the soak is none of its disturbances."""
    to.mkdir()
    for file in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / file, to)
    for part in ("workflow", "src"):
        shutil.copytree(ROOT / part, to / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return to


def soak(kills: int, seed: int) -> Tally:
    """Trials until so many kills have hit; the folders of those that failed are kept, and named."""
    rng, tally = random.Random(seed), Tally()
    root = Path(tempfile.mkdtemp(prefix="descentlab-soak-")).resolve()
    source, truth = copy_source(root / "source"), root / "undisturbed"
    truth.mkdir()
    usual = run_undisturbed(truth, source)
    print(f"undisturbed: {', '.join(f'{job} {seconds:.0f} s' for job, seconds in usual.items())}", flush=True)
    while tally.hit.total() < kills:
        tally.trials += 1
        name = f"trial {tally.trials}"
        folder = root / name.replace(" ", "-")
        folder.mkdir()
        workflow = KilledWorkflow(folder, source=source)
        try:
            run_trial(workflow, draw_kills(rng, usual, KILLS_A_TRIAL), kills - tally.hit.total(), tally, name)
            check_results(workflow, truth, tally)
        except Exception as error:  # whatever it is, it is told, and the other trials count
            tally.failures.append(f"{name}, kept in {folder}: {type(error).__name__}: {error}")
            print(tally.failures[-1], flush=True)
        else:
            shutil.rmtree(folder)
        finally:
            workflow.end()
            tally.unlocks += workflow.unlocks
    if not tally.failures:
        shutil.rmtree(root)
    return tally


def main() -> int:
    """Print a line for each kill, and the table; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="how many must hit a living process")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    begun = time.monotonic()
    tally = soak(options.kills, options.seed)
    print(*tally.lines(time.monotonic() - begun), sep="\n")
    if tally.failures:
        print(f"first failure: {tally.failures[0]}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
