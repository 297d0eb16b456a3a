"""A report of externally logged runs: every number is the logged one, and what was not logged is named."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from scipy import stats

from descentlab.__main__ import main
from descentlab.analysis.remarks import unpack_remarks
from descentlab.analysis.statistics.verdicts import verdict
from descentlab.report.alarm_phrases import alarm_sentence
from descentlab.report.formatting import number
from support.imported_results import codes, imported, table, unknown, written
from support.logged_experiment import BATCH, EPOCHS, LOSSES, RATE, SEEDS, fit_all, log_run, new_store

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, device: str) -> Path:
    """A folder with a store in which ``model.fit`` was autologged, and the report of it."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(folder))
        fit_all("two moons")
        assert main(["report", "--mlflow-experiment", "two moons"]) == 0
    return folder


def logged_runs(folder: Path) -> dict[str, Run]:
    client = MlflowClient(f"sqlite:///{folder}/store.db")
    experiment = client.get_experiment_by_name("two moons")
    assert experiment is not None
    return {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}


def test_every_number_of_the_tables_is_the_logged_one(fitted: Path) -> None:
    logged = logged_runs(fitted)
    runs = table(fitted / "results/two_moons", "runs").set_index("run_id")
    history = table(fitted / "results/two_moons", "history")
    client = MlflowClient(f"sqlite:///{fitted}/store.db")
    assert set(runs.index) == set(logged)
    names = {"train_loss": "loss", "val_loss": "val_loss", "train_metric": "accuracy", "val_metric": "val_accuracy"}
    for run_id, row in runs.iterrows():
        run = logged[str(run_id)]
        if row["status"] == "failed":
            assert (row["optimizer"], row["seed"], row["updates"]) == ("adam", 14, 0)
            continue
        momentum = run.data.params.get("optimizer_momentum")
        assert row["optimizer"] == {"0.0": "sgd", "0.9": "momentum", None: "adam"}[momentum]
        assert (row["seed"], row["learning_rate"], row["batch_size"]) == (int(run.data.params["seed"]), RATE, BATCH)
        assert row["test_metric"] == run.data.metrics["test_accuracy"]
        assert row["val_metric"] == run.data.metrics["val_accuracy"]
        curve = history[history["run_id"] == run_id]
        for column, name in names.items():
            points = {point.step + 1: point.value for point in client.get_metric_history(str(run_id), name)}
            assert len(points) == EPOCHS
            expected = [points[updates] for updates in curve["updates"]]
            np.testing.assert_array_equal(curve[column], expected)
        assert list(curve["updates"]) == ([1] if row["status"] == "diverged" else [1, 2, 3, 4])
    assert dict(runs["status"].value_counts()) == {"finished": 8, "diverged": 1, "failed": 1}
    diverged = runs[runs["status"] == "diverged"].iloc[0]
    assert (diverged["optimizer"], diverged["seed"], diverged["updates"]) == ("sgd", SEEDS[-1], 1)


def test_verdicts_follow_from_the_logged_test_metrics(fitted: Path) -> None:
    runs = table(fitted / "results/two_moons", "runs")
    finished = runs[runs["status"] == "finished"].pivot(index="seed", columns="optimizer", values="test_metric")
    contrasts = table(fitted / "results/two_moons/comparison", "contrasts")
    assert set(zip(contrasts["first"], contrasts["second"], strict=True)) == {
        ("adam", "sgd"),
        ("adam", "momentum"),
        ("sgd", "momentum"),
    }
    assert set(contrasts["declared"]) == {"exploratory"}  # nobody declared anything before these runs
    row = contrasts.set_index(["first", "second"]).loc[("adam", "momentum")]
    d = (finished["adam"] - finished["momentum"]).dropna().to_numpy()
    half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d))
    assert row["n"] == len(d) == 3
    assert row["n_dropped"] == 1  # the run that failed
    np.testing.assert_allclose(
        [row["difference_mean"], row["low"], row["high"]], [d.mean(), d.mean() - half, d.mean() + half]
    )
    assert row["verdict"] == verdict(row["low_corrected"], row["high_corrected"], d.mean(), 3, 0.01)
    one_sided = contrasts.set_index(["first", "second"]).loc[("sgd", "momentum")]
    assert one_sided["n"] == 2
    diverged, wins = unpack_remarks(one_sided["remarks"])
    assert diverged == {"code": "diverged", "name": "sgd", "n": 1, "seeds": 3}
    assert wins["code"].startswith("wins")  # with or without a pair within the margin, which the training decides


def test_the_page_says_the_numbers_and_what_nobody_logged(fitted: Path) -> None:
    page = (fitted / "reports/two_moons/index.html").read_text()
    summary = table(fitted / "results/two_moons/comparison", "summary").set_index("optimizer")
    for name in ("sgd", "momentum", "adam"):
        row = summary.loc[name]
        shown = (
            f"{number(row['test_metric_mean'])} [{number(row['test_metric_low'])}, {number(row['test_metric_high'])}]"
        )
        assert f"{shown}, n = {row['n_finished']}" in page
    results = fitted / "results/two_moons"
    alarms = table(results / "comparison", "alarms")
    assert list(alarms["kind"]) == ["diverged", "failed", "few seeds", *["unknown"] * 8]
    assert list(alarms["optimizer"])[:3] == ["sgd", "adam", ""]
    assert list(alarms["count"])[:3] == [1, 1, 3]
    assert unknown(results) == [
        ("cost", "", "", 10, {}),
        ("epochs", "", "", 10, {}),
        ("examples", "", "", 10, {}),
        ("pairing", "", "", 10, {}),
        ("start", "", "", 10, {}),
        ("tuning", "", "", 10, {}),
        ("uneven", "", "", 10, {"least": 3, "most": 4}),
        ("usual margin", "", "", 10, {"margin": "0.01", "metric": "accuracy"}),
    ]
    escaped = page.replace("&#39;", "'")
    assert all(alarm_sentence(alarm) in escaped for alarm in alarms.to_dict("records"))
    assert "python -m descentlab report --mlflow-experiment 'two moons'" in escaped
    assert 'id="time-to-target"' in page  # of curves alone there is enough for it
    for claim in json.loads((fitted / "results/two_moons/claims.json").read_text()):
        tested = claim["id"] in {"fewer-steps", "slightly-worse"}
        assert (claim["verdict"] != "not tested") == tested, claim["id"]


def test_the_store_is_only_read_and_the_same_runs_give_the_same_page(
    fitted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(fitted)
    page, digest = Path("reports/two_moons/index.html").read_bytes(), hashlib.sha256(Path("store.db").read_bytes())
    uri = f"sqlite:///{fitted}/store.db"
    assert main(["report", "--mlflow-experiment", "two moons", "--tracking-uri", uri, "--output", "again.html"]) == 0
    assert capsys.readouterr().out == "again.html\n"
    assert Path("again.html").read_bytes() == page
    assert hashlib.sha256(Path("store.db").read_bytes()).digest() == digest.digest()
    assert main(["report", "results/two_moons"]) == 0  # as that of any other results


def test_a_mapping_says_what_is_what(store: str) -> None:
    for seed in range(5):
        for algo, error in (("A", 0.30), ("B", 0.20 + 0.001 * seed)):
            curves = {"nll": [1.0, 0.5], "valid_nll": [1.1, 0.6], "valid_err": [0.5, 0.25]}
            params = {"algo": algo, "run_seed": seed, "alpha": 0.01, "data": "moons & more", "bs": 8, "host": "x"}
            log_run(store, "e", params, curves, {"final_err": error}, first_step=1)
    mapping = written(
        "params: {optimizer: algo, seed: run_seed, learning_rate: alpha, problem: data, batch_size: bs}\n"
        "metrics: {name: error, higher_is_better: false, margin: 0.05, validation: valid_err, test: final_err, "
        "train_loss: nll, validation_loss: valid_nll}\n"
        "optimizers: {A: first, B: second}\nupdates_per_epoch: 10\nreport: {reference: first, title: Theirs}\n"
    )
    assert main(["report", "--mlflow-experiment", "e", "--mapping", str(mapping)]) == 0
    results = Path("results/e")
    runs = table(results, "runs")
    assert set(runs["problem"]) == {"moons_more"}
    assert set(runs["learning_rate"]) == {0.01}
    assert list(table(results, "history").groupby("run_id")["updates"].agg(list))[0] == [10, 20]
    assert list(table(results, "history").groupby("run_id")["examples"].agg(list))[0] == [80, 160]
    row = table(results / "comparison", "contrasts").iloc[0]
    assert (row["first"], row["second"], row["verdict"], row["margin"]) == ("second", "first", "better", 0.05)
    assert row["difference_mean"] == pytest.approx(0.098)
    assert codes(results).isdisjoint({"usual margin", "median margin", "batches", "epochs", "settings"})
    page = Path("reports/e/index.html").read_text()
    assert "<title>Theirs</title>" in page
    assert "margin: 0.05" in page  # the mapping itself, to do it again


def test_without_a_test_metric_nothing_is_judged_and_curves_are_shown(store: str) -> None:
    for seed in range(3):
        for name in ("sgd", "adam"):
            log_run(store, "e", {"optimizer": name, "seed": seed, "lr": 0.1}, LOSSES)
    assert main(["report", "--mlflow-experiment", "e"]) == 0
    contrasts = table(Path("results/e/comparison"), "contrasts")
    assert (set(contrasts["verdict"]), set(contrasts["n"])) == ({"not tested"}, {0})
    assert ("no test metric", "e", "", 6, {"names": "test_accuracy"}) in unknown(Path("results/e"))
    assert 'id="convergence-e"' in Path("reports/e/index.html").read_text()
    results = imported("metrics: {name: accuracy, test: val_accuracy}\n")
    assert ("test is validation", "", "", 6, {"name": "val_accuracy"}) in unknown(results)


def test_steps_may_be_updates_and_problems_several(store: str) -> None:
    for problem in ("p/1", "p_1"):  # plain names of both are the same
        for name, scale in (("sgd", 1.0), ("adam", 2.0)):
            curves = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.0, 1.0]}
            params = {"optimizer": name, "seed": 1, "problem": problem, "batch_size": 4, "steps_per_epoch": 2}
            log_run(store, "e", params, curves, {"test_loss": 5.0 * scale})
    results = imported("step: update\n")
    history = table(results, "history")
    assert [list(history.iloc[i][["updates", "epoch", "examples"]]) for i in range(3)] == [
        [0, 0, 0],
        [1, 0.5, 4],
        [2, 1, 8],
    ]
    assert set(table(results, "runs")["metric"]) == {"loss"}  # the only one that was logged
    assert "start" not in codes(results)  # step 0 is before the first update
    assert [entry for entry in unknown(results) if entry[0] in ("rates", "median margin")] == [
        ("median margin", "p_1", "", 2, {"margin": "0.075", "metric": "loss"}),
        ("median margin", "p_1_2", "", 2, {"margin": "0.075", "metric": "loss"}),
        ("rates", "", "", 4, {"total": 4}),
    ]
    contrast = table(results / "comparison", "contrasts").iloc[0]
    assert (contrast["difference_mean"], contrast["verdict"]) == (-5.0, "inconclusive")  # of one seed nothing follows
