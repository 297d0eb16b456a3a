"""The views that MLflow's UI lists, in its own words: conditions that it takes, and columns that there are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from descentlab.experiment.plan import TrainingPlan
from descentlab.tracking.entry import RUN_ID
from descentlab.tracking.saved_views import START, VIEW_TAG, compared_optimizers, saved_views, view_name
from descentlab.tracking.store import store_uri
from support.comparison_fixture import generated_plan
from support.tracked_jobs import some_runs, track, write_jobs

FOUND = {f"up.{name}": f"id of {name}" for name in ("sgd", "adam")}


def states(plan: TrainingPlan, run_ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What each view holds, by its id."""
    return {name: json.loads(json.loads(view)["state"]) for name, view in saved_views(plan, run_ids).items()}


@pytest.mark.parametrize(
    ("names", "reference", "pair"),
    [
        (["gd", "adam", "momentum", "sgd"], "momentum", ["sgd", "adam"]),
        (["gd", "adam", "momentum"], "momentum", ["momentum", "gd"]),
        (["mine", "yours"], "momentum", ["mine", "yours"]),
        (["momentum"], "momentum", ["momentum"]),
    ],
)
def test_the_lectures_pair_is_compared_or_the_reference_and_another(
    names: list[str], reference: str, pair: list[str]
) -> None:
    plan = generated_plan(report={"reference": reference})
    entry = plan.optimizers["adam"]
    assert compared_optimizers(replace(plan, optimizers=dict.fromkeys(names, entry))) == pair


def test_views_of_runs_that_are_not_logged_are_left_out() -> None:
    always = {START, *(view_name("means", problem) for problem in ("up", "down"))}
    assert set(states(generated_plan(), {})) == always
    assert set(states(generated_plan(), FOUND)) == always | {view_name("pair", "up"), view_name("rates", "up")}


def test_the_best_ranks_are_first_whichever_direction_is_better() -> None:
    views = states(generated_plan(), FOUND)
    for problem in ("up", "down"):
        view = views[view_name("means", problem)]
        assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`tuned/rank`", True)


def test_a_chart_has_the_mean_and_the_ends_of_its_interval() -> None:
    pair = states(generated_plan(), FOUND)[view_name("pair", "up")]
    assert pair["searchFilter"] == "attributes.run_id IN ('id of sgd', 'id of adam')"
    (section,), (chart,) = pair["compareRunSections"], pair["compareRunCharts"]
    assert chart["metricSectionId"] == section["uuid"]
    assert chart["selectedMetricKeys"] == ["curve/val_loss", "curve/val_loss_low", "curve/val_loss_high"]


def test_learning_rates_are_closed_groups() -> None:
    rates = states(generated_plan(), FOUND)[view_name("rates", "up")]
    assert rates["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "learning_rate"}]
    assert rates["groupsExpanded"] == {f"param.learning_rate.{rate}": False for rate in ("0.001", "0.01", "0.1")}


@pytest.mark.usefixtures("empty_store")
def test_every_view_finds_its_runs_and_their_metrics() -> None:
    runs = some_runs(("sgd", "adam"))
    write_jobs(runs)
    track()
    client = MlflowClient(store_uri(None))
    experiment = client.get_experiment_by_name("generated")
    assert experiment is not None
    tags = {name: value for name, value in experiment.tags.items() if name.startswith(VIEW_TAG)}
    tuning = runs[(runs["optimizer"] == "adam") & (runs["phase"] == "tuning")]
    expected = {
        START: {"up.adam", "up.sgd"},
        view_name("means", "up"): {"up.adam", "up.sgd"},
        view_name("pair", "up"): {"up.adam", "up.sgd"},
        view_name("rates", "up"): set(tuning["run_id"]),
    }
    assert set(tags) == {f"{VIEW_TAG}{name}" for name in expected}
    for name, keys in expected.items():
        state = json.loads(json.loads(tags[f"{VIEW_TAG}{name}"])["state"])
        order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
        listed = client.search_runs([experiment.experiment_id], state["searchFilter"], order_by=[order])
        assert {run.data.tags[RUN_ID] for run in listed} == keys, name
        shown = {column.split("`")[1] for column in state["selectedColumns"] if column.startswith("metrics.")}
        assert shown <= set(listed[0].data.metrics), name


@pytest.mark.usefixtures("empty_store")
def test_whose_seed_diverged_is_listed_behind_who_finished() -> None:
    runs = some_runs(("sgd", "adam"))
    adam = (runs["optimizer"] == "adam") & (runs["phase"] == "final") & (runs["arm"] == "tuned")
    runs.loc[adam & (runs["seed"] == 0), "status"] = "diverged"  # the other seed has a better test metric than sgd's
    write_jobs(runs)
    track()
    client = MlflowClient(store_uri(None))
    experiment = client.get_experiment_by_name("generated")
    assert experiment is not None
    state = states(generated_plan(), {})[view_name("means", "up")]
    order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
    listed = client.search_runs([experiment.experiment_id], state["searchFilter"], order_by=[order])
    assert [run.data.tags[RUN_ID] for run in listed] == ["up.sgd", "up.adam"]
