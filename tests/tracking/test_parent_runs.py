"""What a parent run says of its children."""

from __future__ import annotations

import math
import re
from pathlib import Path
from urllib.parse import parse_qs

import mlflow
import numpy as np
import pandas as pd
import pytest

from descentlab.tracking.entry import Entry
from descentlab.tracking.parent_runs import PICTURE, mean_curves, metric_name, parent_entries
from descentlab.tracking.track import with_beside
from support.comparison_fixture import generated_history, generated_plan
from support.tracked_jobs import DATABASE, PROBLEM, some_runs


def parents(runs: pd.DataFrame, whole: bool = True) -> dict[str, Entry]:
    entries = parent_entries(generated_plan(), PROBLEM, runs, generated_history(runs), "7", whole)
    return {entry.tags["optimizer"]: entry for entry in entries}


NAMES = [
    "accuracy",
    "signal-to-noise ratio (dB)",
    "F1 / macro",
    "perplexité",
    "50 % quantile",
    "//",
    "..",
    "x" * 400,
    "a\nb",
]


@pytest.mark.usefixtures("empty_store")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_mlflow_takes_every_metrics_name(name: str) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{DATABASE}")
    mlflow.set_experiment("names")
    with mlflow.start_run() as run:
        mlflow.log_metric(f"tuned/test_{metric_name(name)}_mean", 1.0)
    assert list(mlflow.get_run(run.info.run_id).data.metrics.values()) == [1.0]


def test_metrics_that_mlflow_would_name_alike_are_told_apart() -> None:
    history = pd.DataFrame({"run_id": ["a", "a"], "updates": [0, 4]})
    rows = [("a", 4, "test", name, value) for name, value in (("top (1)", 1.0), ("top-1", 2.0), ("top 1", 3.0))]
    beside = pd.DataFrame(rows, columns=["run_id", "updates", "split", "name", "value"])
    wide = with_beside(history, beside, "accuracy").set_index("updates").loc[4]
    assert wide.drop("run_id").to_dict() == {"test_top_1": 1.0, "test_top-1": 2.0, "test_top_1_2": 3.0}
    like_the_metric = with_beside(history, beside, "top [1]").set_index("updates").loc[4]
    assert like_the_metric.drop("run_id").to_dict() == {"test_top_1_2": 1.0, "test_top-1": 2.0, "test_top_1_3": 3.0}
    named = with_beside(history, beside.replace({"name": {"top (1)": "metric", "top 1": "loss!"}}), "accuracy")
    assert set(named.columns) == {"run_id", "updates", "test_metric_2", "test_top-1", "test_loss_2"}


def test_curves_are_means_over_seeds_with_their_intervals() -> None:
    whole = {"status": "finished", "updates": 4, "updates_planned": 4}
    finals = pd.DataFrame({"run_id": ["a", "b"], "problem": "up", "arm": "tuned", "optimizer": "adam", **whole})
    history = pd.DataFrame(
        {
            "run_id": [*"aabbc"],
            "updates": [0, 4, 0, 4, 0],
            "epoch": [0.0, 1.0, 0.0, 1.0, 0.0],
            "examples": [0, 32, 0, 32, 0],
            "train_seconds": 0.0,
            "train_loss": 1.0,
            "val_loss": [1.0, 0.25, 3.0, math.inf, 9.0],
            "val_metric": 0.5,
        }
    )
    curves = mean_curves(finals, history)
    assert list(curves) == ["adam"]
    first, last = curves["adam"].to_dict("records")
    half = 12.706205 * math.sqrt(2) / math.sqrt(2)  # t(0.975, 1) times the standard error of 1 and 3
    assert (first["updates"], first["val_loss_mean"]) == (0, 2.0)
    assert [first["val_loss_low"], first["val_loss_high"]] == pytest.approx([2 - half, 2 + half], rel=1e-6)
    assert (last["updates"], last["val_loss_mean"]) == (4, 0.25)  # of the seed that has not diverged
    assert math.isnan(last["val_loss_low"])


def test_a_parents_curve_has_the_names_of_its_childrens() -> None:
    curve = parents(some_runs())["momentum"].curve
    assert curve is not None
    assert set(curve) == {
        "step",
        "timestamp",
        "train_loss",
        "val_loss",
        "val_accuracy",
        "val_loss_low",
        "val_loss_high",
    }
    assert curve["step"].tolist() == [0, 1, 2, 4, 8, 16]
    np.testing.assert_allclose(curve["val_loss"], 0.8 ** curve["step"])
    np.testing.assert_allclose(curve["val_loss_low"], curve["val_loss"])  # both seeds have the same curve


def test_its_metrics_are_the_means_of_the_final_seeds_with_their_intervals() -> None:
    runs = some_runs()
    metrics = parents(runs)["momentum"].metrics
    finals = runs[(runs["optimizer"] == "momentum") & (runs["phase"] == "final") & (runs["arm"] == "tuned")]
    assert metrics["tuned/n"] == len(finals) == 2
    mean, half = finals["test_metric"].mean(), 12.706205 * finals["test_metric"].sem()  # t(0.975, 1)
    ends = [metrics[f"tuned/test_accuracy_{end}"] for end in ("low", "mean", "high")]
    assert ends == pytest.approx([mean - half, mean, mean + half], rel=1e-6)


def test_who_lost_a_seed_ranks_behind_whatever_the_survivors_say() -> None:
    runs = some_runs()  # adam is better
    tuned = (runs["phase"] == "final") & (runs["arm"] == "tuned") & (runs["optimizer"] == "adam")
    ranks = {name: entry.metrics["tuned/rank"] for name, entry in parents(runs).items()}
    assert ranks == {"adam": 1, "momentum": 2}
    runs.loc[tuned & (runs["seed"] == 0), "status"] = "diverged"
    ranks = {name: entry.metrics["tuned/rank"] for name, entry in parents(runs).items()}
    assert ranks == {"adam": 2, "momentum": 1}
    runs.loc[tuned, "status"] = "failed"
    assert "tuned/rank" not in parents(runs)["adam"].metrics  # nothing to rank


def test_of_some_jobs_alone_there_is_no_rank() -> None:
    assert not any(name.endswith("/rank") for entry in parents(some_runs(), False).values() for name in entry.metrics)


def test_without_a_final_run_there_is_neither_curve_nor_picture() -> None:
    runs = some_runs()
    parent = parents(runs[runs["phase"] != "final"])["adam"]
    assert parent.curve is None
    assert parent.write_artifacts is None
    assert "![" not in parent.note


def test_the_picture_is_among_the_files_and_in_the_note(tmp_path: Path) -> None:
    parent = parents(some_runs())["adam"]
    assert parent.write_artifacts is not None
    parent.write_artifacts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [PICTURE]
    note = parent.late_tags("ab12", None)["mlflow.note.content"]
    assert re.findall(r"!\[[^]]*\]\(([^)]*)\)", note) == [f"get-artifact?path={PICTURE}&run_uuid=ab12"]
    searches = [parse_qs(query) for query in re.findall(r"\]\(#/experiments/7/runs\?([^)]*)\)", note)]
    assert [search["searchFilter"] for search in searches] == [
        [f"tags.problem = 'up' and tags.optimizer = 'adam' and tags.phase = '{phase}'"] for phase in ("final", "tuning")
    ]
    assert (searches[1]["orderByKey"], searches[1]["orderByAsc"]) == (["metrics.`val_accuracy`"], ["false"])
    assert "53" in note  # the parameters


def test_new_trainings_of_the_reference_are_redrawn_and_change_nothing_else() -> None:
    runs = some_runs()
    before = parents(runs)
    runs.loc[runs["optimizer"] == "momentum", "digest"] = "f" * 64  # the reference's
    after = parents(runs)
    assert after["adam"].digest() != before["adam"].digest()
    assert after["adam"].tags == before["adam"].tags
    assert after["momentum"].tags != before["momentum"].tags


def test_the_data_of_a_parent_are_the_problems() -> None:
    dataset = parents(some_runs())["adam"].dataset
    assert dataset is not None
    assert dataset.mlflow_fields() == (
        "up",
        "d" * 36,
        "code",
        '{"problem": "up"}',
        '{"train_examples": 32, "val_examples": 8, "test_examples": 8}',
    )
    assert dataset.splits == "train, val, test"


def test_seeds_that_looks_added_later_prolong_no_parent_and_change_none_of_its_means() -> None:
    runs = some_runs()
    finals = runs[(runs["optimizer"] == "momentum") & (runs["phase"] == "final")]
    later = finals.assign(
        phase="added",
        seed=finals["seed"] + 100,
        run_id="added." + finals["run_id"],
        started_at=finals["started_at"] + 1e4,
    )
    before, after = (parents(table)["momentum"] for table in (runs, pd.concat([runs, later.assign(test_metric=9.0)])))
    assert (after.began, after.ended, after.metrics) == (before.began, before.ended, before.metrics)
