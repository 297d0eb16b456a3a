"""Which externally logged runs are compared: one learning rate of each optimizer, one run of each seed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from support.imported_results import codes, imported, table, unknown
from support.logged_experiment import LOSSES, log_run


def log_pair(store: str, **params: Any) -> None:
    """A run of plain SGD and one of Adam, the same but for the optimizer."""
    for name, test in (("sgd", 0.7), ("adam", 0.8)):
        log_run(store, "e", {"optimizer": name, "lr": 0.1, "seed": 0, **params}, LOSSES, {"test_accuracy": test})


def test_a_learning_rate_is_chosen_by_validation_and_said_to_be(store: str) -> None:
    for rate, validation, test in ((0.1, 0.9, 0.5), (0.2, 0.8, 0.99), (0.3, 0.7, 0.98)):
        for seed in range(2):
            curves = {**LOSSES, "val_accuracy": [0.1, 0.2, validation]}
            log_run(store, "e", {"optimizer": "adam", "lr": rate, "seed": seed}, curves, {"test_accuracy": test})
    for seed in range(2):  # with a better mean, but one of its runs is lost
        log_run(
            store,
            "e",
            {"optimizer": "sgd", "lr": 1.0, "seed": seed},
            {**LOSSES, "val_loss": [math.nan, 1.0][: seed + 1]},
        )
        log_run(store, "e", {"optimizer": "sgd", "lr": 0.1, "seed": seed}, LOSSES, {"test_accuracy": 0.6})
    results = imported()
    runs = table(results, "runs")
    assert dict(zip(runs["learning_rate"], runs["phase"], strict=True))[0.2] == "neighbor"
    finals = runs[runs["phase"] == "final"].groupby("optimizer")["learning_rate"].unique()
    assert {name: list(rates) for name, rates in finals.items()} == {"adam": [0.1], "sgd": [0.1]}
    assert table(results / "comparison", "summary").set_index("optimizer")["test_metric_mean"]["adam"] == 0.5
    assert [entry for entry in unknown(results) if entry[0] == "chosen"] == [
        ("chosen", "e", "adam", 2, {"rate": "0.1", "rates": 3}),
        ("chosen", "e", "sgd", 2, {"rate": "0.1", "rates": 2}),
    ]
    alarms = table(results / "comparison", "alarms")
    assert list(alarms.loc[alarms["kind"] == "same seeds", "optimizer"]) == ["adam", "sgd"]


def test_seeds_repeats_and_what_is_left_out(store: str) -> None:
    log_pair(store)
    log_pair(store, dropout=0.5)  # the same again with another setting: the newer counts
    for name in ("adam", "sgd"):
        log_run(store, "e", {"optimizer": name, "lr": 0.1}, LOSSES, {"test_accuracy": 0.9})
    log_run(store, "e", {"optimizer": "sgd", "lr": 0.1, "seed": 0}, LOSSES, status="FAILED")
    log_run(store, "e", {"optimizer": "sgd", "lr": 0.1, "seed": 5}, LOSSES)  # never tested
    log_run(store, "e", {"optimizer": "sgd", "lr": 0.1, "seed": 6}, LOSSES, {"test_accuracy": 0.9}, "RUNNING")
    log_run(store, "e", {"seed": 7}, LOSSES, {"test_accuracy": 0.9})
    log_run(store, "e", {"optimizer": "sgd", "lr": 0.1, "seed": 8}, {"other": [1.0]})
    results = imported()
    runs = table(results, "runs").sort_values(["optimizer", "seed"])
    compared = runs[["optimizer", "seed", "status", "test_metric"]].to_numpy().tolist()
    assert compared[:4] == [
        ["adam", 0, "finished", 0.8],
        ["adam", 1, "finished", 0.9],
        ["sgd", 0, "finished", 0.7],
        ["sgd", 1, "finished", 0.9],
    ]
    assert compared[4][:3] == ["sgd", 5, "missing"]
    assert "test metric" in runs["message"].iloc[4]
    assert [entry for entry in unknown(results) if entry[0] not in ("cost", "examples", "pairing", "tuning")] == [
        ("batches", "", "", 5, {}),
        ("empty", "", "", 1, {}),
        ("epochs", "", "", 5, {}),
        ("repeated with", "", "", 3, {"names": "dropout"}),
        ("running", "", "", 1, {}),
        ("seeds", "", "", 2, {"total": 5}),
        ("settings", "e", "", 5, {"names": "dropout"}),
        ("start", "", "", 5, {}),
        ("unattributed", "", "", 1, {"names": "optimizer or optimizer_name or opt_name"}),
        ("uneven", "", "", 5, {"least": 2, "most": 3}),
        ("usual margin", "", "", 5, {"margin": "0.01", "metric": "accuracy"}),
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["test_accuracy", "val_accuracy"])
def test_a_metric_that_is_not_finite_is_the_worst_result(store: str, name: str, value: float) -> None:
    """As of a run that is trained here: the run keeps its row, no mean has the value, and it loses its pair."""
    for seed in range(3):
        log_pair(store, seed=seed)
    curves = {**LOSSES, "val_accuracy": [0.5, 0.7, value if name.startswith("val") else 0.75]}
    log_run(store, "e", {"optimizer": "adam", "seed": 3, "lr": 0.1}, curves, {"test_accuracy": 0.9, name: value})
    log_run(store, "e", {"optimizer": "sgd", "seed": 3, "lr": 0.1}, LOSSES, {"test_accuracy": 0.7})
    results = imported()
    lost = table(results, "runs").set_index(["optimizer", "seed"]).loc[("adam", 3)]
    metric = name.replace("accuracy", "metric")
    assert (lost["status"], lost["message"]) == ("diverged", f"{metric} not finite after 3 updates")
    summary = table(results / "comparison", "summary").set_index("optimizer").loc["adam"]
    assert (summary["test_metric_mean"], summary["n_finished"]) == (pytest.approx(0.8), 3)
    alarms = table(results / "comparison", "alarms")
    assert list(alarms.loc[alarms["kind"] == "diverged", "optimizer"]) == ["adam"]
    assert "no test metric" not in codes(results)


def test_runs_without_a_metric_are_missing_where_another_logged_none_that_is_finite(store: str) -> None:
    log_run(store, "e", {"optimizer": "adam", "seed": 0, "lr": 0.1}, LOSSES, {"test_accuracy": math.nan})
    log_run(store, "e", {"optimizer": "sgd", "seed": 0, "lr": 0.1}, LOSSES)
    results = imported()
    status = table(results, "runs").set_index("optimizer")["status"]
    assert status.to_dict() == {"adam": "diverged", "sgd": "missing"}
    assert "no test metric" not in codes(results)
