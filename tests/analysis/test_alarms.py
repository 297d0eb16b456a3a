"""What a reader must know before believing a number, as codes and values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from descentlab.analysis.alarms import LEAST_SEEDS, raise_alarms, unmeasured_tuning
from descentlab.problems.absent_classes import AbsentClass
from support.comparison_fixture import SEEDS, generated_plan, generated_runs, generated_selections
from support.generated_comparisons import row


def values_of_alarm(alarm: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(alarm["values"]))


def test_an_experiment_in_which_all_went_well_raises_none() -> None:
    assert raise_alarms(generated_plan(), generated_runs(0), []).empty


@pytest.mark.parametrize("status", ["diverged", "failed", "missing"])
def test_runs_that_did_not_finish_are_counted_by_row(status: str) -> None:
    runs = generated_runs(0)
    lost = (runs["optimizer"] == "adam") & (runs["phase"] == "final") & (runs["seed"] < 2)
    runs.loc[lost, ["status", "message"]] = [status, "out of memory"]
    alarms = raise_alarms(generated_plan(), runs, [])
    assert len(alarms) == 4 and set(alarms["kind"]) == {status}
    alarm = row(alarms, problem="up", arm="tuned")
    assert (alarm["code"], alarm["optimizer"], alarm["count"]) == (status, "adam", 2)
    reason = "out of memory" if status == "failed" else ""
    assert values_of_alarm(alarm) == {"of": SEEDS, "reason": reason}


def test_a_grid_that_could_not_grow_is_an_alarm() -> None:
    high = row(raise_alarms(generated_plan(), generated_runs(0), generated_selections()), problem="up")
    assert (high["kind"], high["code"], high["optimizer"]) == ("edge", "edge", "rmsprop")
    assert values_of_alarm(high) == {"rate": 0.1, "low": 0.001, "high": 0.1}


def test_a_rate_next_to_divergence_is_an_alarm() -> None:
    selection = {**generated_selections()[0], "cliff": [0.1]}
    alarm = row(raise_alarms(generated_plan(), generated_runs(0), [selection]))
    assert (alarm["kind"], alarm["code"], alarm["optimizer"]) == ("cliff", "cliff", "gd")
    assert values_of_alarm(alarm) == {"rate": 0.01, "cliff": 0.1}


@pytest.mark.parametrize("seeds", [1, LEAST_SEEDS - 1, LEAST_SEEDS])
def test_few_seeds_are_alarming(seeds: int) -> None:
    alarms = raise_alarms(generated_plan(seeds={"final": seeds, "tuning": 1}), generated_runs(0), [])
    few = [(row["code"], row["count"], values_of_alarm(row)) for row in alarms.to_dict("records")]
    few = [alarm for alarm in few if alarm[0] == "few seeds"]
    assert few == ([("few seeds", seeds, {"least": LEAST_SEEDS})] if seeds < LEAST_SEEDS else [])


ONE = {"problem": "mlp", "name": "up", "seeds": {"tuning": 1}}


@pytest.mark.parametrize(
    ("config", "problems"),
    [
        ({}, []),
        ({"tuning": {"neighbors": False}}, ["up", "down"]),
        ({"seeds": {"final": SEEDS, "tuning": 1}}, ["up", "down"]),
        ({"problems": [ONE, {"problem": "mlp", "name": "down"}]}, ["up"]),
        (
            {"problems": [{**ONE, "seeds": {}, "tuning": {"neighbors": False}}, {"problem": "mlp", "name": "down"}]},
            ["up"],
        ),
        ({"problems": [{**ONE, "tuning": {"points": 1}}, {"problem": "mlp", "name": "down"}]}, []),
        ({"tuning": {"points": 1, "neighbors": False}}, []),  # there is nothing to choose
        ({"tuning": {"neighbors": False}, "arms": ["default"]}, []),
    ],
)
def test_noise_of_tuning_that_is_in_no_interval_is_an_alarm(config: dict[str, Any], problems: list[str]) -> None:
    plan = generated_plan(**config)
    assert unmeasured_tuning(plan) == problems
    alarms = raise_alarms(plan, generated_runs(0), []).to_dict("records")
    assert [(row["kind"], row["count"], values_of_alarm(row)["names"]) for row in alarms] == (
        [("tuning noise unmeasured", len(problems), ", ".join(problems))] if problems else []
    )


def test_runs_whose_examples_have_no_scores_are_named() -> None:
    runs = generated_runs(0)
    finals = runs[runs["phase"] == "final"]
    scored = set(finals["run_id"]) - set(finals.loc[finals["problem"] == "up", "run_id"][:3])
    alarm = row(raise_alarms(generated_plan(), runs, [], scored))
    assert (alarm["kind"], alarm["code"], alarm["problem"], alarm["count"]) == ("unscored", "unscored", "up", 3)
    assert raise_alarms(generated_plan(), runs, [], set(finals["run_id"])).empty


def test_a_class_that_splits_are_without_is_an_alarm() -> None:
    absent = AbsentClass("eggs", "val", (1, 3)), AbsentClass("ham", "train", (2,))
    plan = generated_plan()
    plan = replace(plan, problems={**plan.problems, "up": replace(plan.problems["up"], absent_classes=absent)})
    alarms = raise_alarms(plan, generated_runs(0), []).to_dict("records")
    assert [(alarm["kind"], alarm["problem"], alarm["count"], values_of_alarm(alarm)) for alarm in alarms] == [
        ("absent class", "up", 2, {"label": "eggs", "split": "val"}),
        ("absent class", "up", 1, {"label": "ham", "split": "train"}),
    ]


@pytest.mark.parametrize("problem", ["up", "down"])
@pytest.mark.parametrize("margins", [-2.0, 0.9, 1.1])
def test_averages_that_cost_more_than_the_margin_are_an_alarm(problem: str, margins: float) -> None:
    """Measured anew, the validation metric is better by so many margins: a mean over the runs that finished."""
    plan, runs = generated_plan(), generated_runs(0)
    planned = plan.problems[problem]
    judged = (
        (runs["problem"] == problem)
        & (runs["optimizer"] == "adam")
        & (runs["arm"] == "tuned")
        & (runs["phase"] == "final")
    )
    better = runs["val_metric"] + planned.sign * margins * planned.margin
    runs = runs.assign(renormalized_val_metric=better.where(judged))
    lost = judged & (runs["seed"] == 0)
    runs.loc[lost, ["status", "renormalized_val_metric"]] = "diverged", 1e9 * planned.sign
    alarms = raise_alarms(plan, runs, [])
    alarms = alarms[alarms["kind"] != "diverged"]
    if margins < 1:
        assert alarms.empty
        return
    alarm = row(alarms)
    assert [alarm[name] for name in ("kind", "problem", "arm", "optimizer", "count")] == [
        "lagging averages",
        problem,
        "tuned",
        "adam",
        SEEDS - 1,
    ]
    kept = runs.loc[judged & ~lost, "val_metric"].mean()
    anew = kept + planned.sign * margins * planned.margin
    assert values_of_alarm(alarm) == pytest.approx({"kept": kept, "anew": anew})
