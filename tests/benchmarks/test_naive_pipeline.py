"""The naive pipeline: which runs are chosen, what is made of their seconds, and that it does the same work as ours."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.naive_pipeline import (
    CHOSEN,
    ROOT,
    Measured,
    NaiveError,
    check_same_work,
    choose_runs,
    epochs_planned,
    extrapolate,
    kind_of,
    read_experiment,
)
from benchmarks.naive_run import make_optimizer
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.training import plan_mode
from descentlab.training.engine.mode_trial import ModeTrial
from support.comparison_fixture import generated_plan

RUN = {"problem": "p", "kind": "sgd", "optimizer": "sgd", "arm": "tuned", "phase": "final", "seed": 0}
MEASURED = Measured(RUN, 10.0, 8.0, 20, 20, 6.0, 1.0, naive_metric=0.95, our_metric=0.96)


@pytest.mark.usefixtures("device")
def test_the_keras_schedule_gives_every_update_the_rate_that_ours_has() -> None:
    optimizer = make_optimizer(OPTIMIZERS["adam"], "tuned", 0.03, "linear", 50)
    rates = []
    for _ in range(50):
        rates.append(float(optimizer.learning_rate))
        optimizer.iterations.assign_add(1)
    np.testing.assert_allclose(rates, learning_rates(0.03, "linear", 50), rtol=1e-5)


@pytest.mark.usefixtures("device")
def test_without_a_finished_experiment_the_runs_are_counted_from_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The modes take a minute to try, and don't change what is counted.
    monkeypatch.setattr(plan_mode, "plan_mode", lambda *_: ModeTrial("graph", True))
    plan, runs = read_experiment(tmp_path / "runs.parquet")
    assert 5_500 < len(runs) < 7_000
    runs = runs.assign(kind=[kind_of(plan.optimizers[name]) for name in runs["optimizer"]])
    chosen = choose_runs(runs, 0)
    assert len(chosen) >= 30
    assert set(chosen["problem"]) == set(plan.problems)
    for (_, kind), stratum in chosen.groupby(["problem", "kind"]):
        assert len(stratum) == CHOSEN[kind]
        assert len(stratum) == 1 or set(stratum["arm"]) == {"default", "tuned"}
    assert set(runs.groupby(["problem", "kind"]).groups) == set(chosen.groupby(["problem", "kind"]).groups)
    pd.testing.assert_frame_equal(chosen, choose_runs(runs, 0))


def test_full_batch_with_equal_updates_takes_an_epoch_an_update() -> None:
    problem = replace(generated_plan().problems["up"], epochs=25, train_examples=1120, batch_size=32)
    assert [epochs_planned(problem, kind) for kind in ("sgd", "gd", "gd_equal_updates")] == [25, 25, 875]


def test_the_total_weighs_each_stratum_by_its_planned_runs() -> None:
    other = {**RUN, "kind": "gd"}
    measured = [MEASURED, replace(MEASURED, seconds=14.0), replace(MEASURED, run=other, seconds=100.0)]
    total, error, strata = extrapolate(measured, {("p", "sgd"): 50, ("p", "gd"): 2})
    assert total == pytest.approx(50 * 12 + 2 * 100)
    # Variance of the first stratum's mean; the second, measured once, has the first's relative variance.
    assert error == pytest.approx(math.sqrt(50**2 * 8 / 2 + 2**2 * 8 / 12**2 * 100**2))
    assert [s["measured"] for s in strata] == [2, 1]


@pytest.mark.parametrize("metric", [math.nan, 0.5])
def test_a_naive_run_that_did_other_work_is_refused(metric: float) -> None:
    check_same_work(MEASURED)
    check_same_work(replace(MEASURED, run={**RUN, "phase": "tuning"}, naive_metric=metric))
    with pytest.raises(NaiveError, match="p / sgd"):
        check_same_work(replace(MEASURED, naive_metric=metric))


def test_a_naive_run_logs_every_epoch(tmp_path: Path) -> None:
    words = "--problem linear_regression --optimizer adam --arm tuned --schedule linear --learning-rate 0.1 --epochs 3"
    uri = f"sqlite:///{tmp_path}/naive.db"
    command = [sys.executable, "-m", "benchmarks.naive_run", *words.split(), "--batch-size", "32", "--evaluate-test"]
    done = subprocess.run([*command, "--tracking-uri", uri], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert 0 < found["val_metric"] < 1.2
    assert 0 < found["first_epoch_seconds"] < found["fit_seconds"]
    import sqlite3

    with sqlite3.connect(tmp_path / "naive.db") as store:
        logged = store.execute("select key, count(*) from metrics group by key").fetchall()
    fitted = {"loss": 3, "metric": 3, "val_loss": 3, "val_metric": 3}
    assert dict(logged) == {**fitted, "test_loss": 1, "test_metric": 1}
