"""Models, protocol and provenance say what the plan says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from descentlab.experiment.config import Config
from descentlab.experiment.plan import TrainingPlan
from descentlab.optimizers.table import CONFIG
from descentlab.report.phrases import arm_cell
from descentlab.report.sections import Evidence
from descentlab.report.sections.about import (
    GRID,
    GROUPED,
    NOISE_IN,
    NOISE_OUT,
    NOISE_OUT_ON,
    SCHEDULES,
    SELECTION,
    grid_words,
    models,
    protocol,
    provenance,
    settings_words,
)
from support.comparison_fixture import generated_plan, with_optimizer, with_problems
from support.report_evidence import evidence_of, table_named, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def test_models_show_layers_total_and_count(evidence: Evidence) -> None:
    table = table_named(models(evidence), "model-up")
    assert table.rows == [["dense", "Dense", "(None, 2)", "53"], ["total", "", "", "53"]]
    # The slides' count; training, validation and test examples.
    assert values_of(table.caption)[:10] == [12, 20, 10, 4, 5, 2, 53, 32, 8, 8]


@pytest.mark.parametrize("by_example", [True, False])
def test_a_metric_that_is_no_mean_over_examples_is_said(evidence: Evidence, by_example: bool) -> None:
    """Its intervals take the test examples in groups."""
    plan = with_problems(generated_plan(), by_example=by_example)
    caption = table_named(models(dataclasses.replace(evidence, plan=plan)), "model-up").caption
    assert (GROUPED in caption) is not by_example


def test_models_say_what_the_split_left_out_and_which_classes_weigh_more(evidence: Evidence) -> None:
    """Each in a sentence of its own, which is missing where there is nothing to say."""
    plain = table_named(models(evidence), "model-up").caption
    plan = evidence.plan
    assert isinstance(plan, TrainingPlan)

    def added(**values: Any) -> str:
        caption = table_named(
            models(dataclasses.replace(evidence, plan=with_problems(plan, **values))), "model-up"
        ).caption
        assert caption.startswith(plain) and len(caption) > len(plain)
        return caption.removeprefix(plain)

    assert values_of(added(requested_examples=39)) == [39, 32]
    assert values_of(added(class_weight={"7": 0.5, "9": 3.0})) == [7, 0.5, 9, 3]
    assert added(mode_reasons=("xla: no text", "graph: no gradient")).endswith("xla: no text; graph: no gradient")


@pytest.mark.parametrize(("grid", "words"), [([0.001, 0.1], "0.001 … 0.1 (2)"), ([None], "none"), ([], "none")])
def test_words_for_a_grid(grid: list[float | None], words: str) -> None:
    assert grid_words(grid) == words


def test_the_center_of_a_grid_has_its_source(evidence: Evidence) -> None:
    table = table_named(models(evidence), "optimizers")
    center = table.headers.index("its center")
    assert {values_of(row[center])[-1] for row in table.rows} == {2012}


def test_an_optimizer_that_keras_own_step_trains_is_named_with_the_reason(evidence: Evidence) -> None:
    plain = table_named(models(evidence), "optimizers").caption
    plan = with_optimizer(generated_plan(), "adam", by_keras="xla: another loss")
    caption = table_named(models(dataclasses.replace(evidence, plan=plan)), "optimizers").caption
    assert caption.startswith(plain) and "adam (xla: another loss)" in caption.removeprefix(plain)


def test_the_protocol_has_the_experiments_own_numbers() -> None:
    seeds = {"final": 7, "tuning": 2}
    rules = dict(table_named(protocol(evidence_of(seeds=seeds)), "rules").rows)
    assert values_of(rules["Seeds"]) == [7]
    assert values_of(rules["Grid"]) == [7, 2, 15]  # points, seeds, and points at most


def test_the_looks_are_those_of_each_problem() -> None:
    seeds = {"final": 6, "most": 12, "tuning": 2}
    own = [{"problem": "mlp", "name": "up"}, {"problem": "mlp", "name": "down", "seeds": {"final": 3, "most": 6}}]
    same, differing = (
        dict(table_named(protocol(evidence_of(seeds=seeds, **more)), "rules").rows)["Looks"]
        for more in ({}, {"problems": own})
    )
    assert values_of(same)[:2] == [6, 12]
    assert values_of(differing)[:6] == [6, 12, "up", 3, 6, "down"]
    assert "Looks" not in dict(table_named(protocol(evidence_of(seeds={"final": 6})), "rules").rows)


ONE_SEED = {"problem": "mlp", "name": "up", "seeds": {"tuning": 1}}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, NOISE_IN),
        ({"tuning": {"neighbors": False}}, NOISE_OUT),
        ({"problems": [ONE_SEED, {"problem": "mlp", "name": "down"}]}, NOISE_OUT_ON.format(problems="up")),
    ],
)
def test_whether_intervals_hold_the_noise_of_tuning_is_as_the_experiment_has_it(
    evidence: Evidence, config: dict[str, Any], sentence: str
) -> None:
    one = dataclasses.replace(evidence, plan=generated_plan(**config))
    assert dict(table_named(protocol(one), "rules").rows)[SELECTION].endswith(f" {sentence}")


def test_rules_of_tuning_stand_only_where_something_is_tuned(evidence: Evidence) -> None:
    one = dataclasses.replace(evidence, plan=generated_plan(arms=["default"]))
    there, left = (dict(table_named(protocol(each), "rules").rows).keys() for each in (evidence, one))
    assert there - left == {SCHEDULES, GRID, SELECTION}


def test_a_center_from_the_config_is_not_said_to_be_found_elsewhere(evidence: Evidence) -> None:
    assert isinstance(evidence.plan, TrainingPlan)
    by_config = with_optimizer(evidence.plan, "adam", center_source=CONFIG)
    said, other = (
        table_named(models(dataclasses.replace(evidence, plan=plan)), "optimizers").caption
        for plan in (evidence.plan, by_config)
    )
    assert other.startswith(said) and len(other) > len(said)


@pytest.mark.parametrize(
    ("hyperparameters", "said"),
    [
        ({}, ""),
        ({"default": {}, "tuned": {}}, ""),
        ({"tuned": {"momentum": 0.9, "nesterov": True}}, "momentum=0.9, nesterov=True"),
        ({"default": {"momentum": 0.9}, "tuned": {"momentum": 0.9}}, "momentum=0.9"),
        (
            {"default": {}, "tuned": {"weight_decay": 0.01}},
            f"{arm_cell('default')}: none; {arm_cell('tuned')}: weight_decay=0.01",
        ),
    ],
)
def test_what_an_optimizer_sets_stands_once_or_by_arm(hyperparameters: dict[str, Any], said: str) -> None:
    assert settings_words(hyperparameters) == said


def test_provenance_lets_the_reader_do_it_again(evidence: Evidence) -> None:
    section = provenance(evidence)
    config = yaml.safe_load(getattr(section.blocks[-1], "text", ""))
    assert Config.model_validate(config) == evidence.plan.config
    *first, experiment, tag = table_named(section, "versions").rows
    assert ["git_commit", "abc"] in first
    assert next(value for name, value in first if name.startswith("up")) == "d" * 64  # its data's sha256
    assert experiment[1] == "generated"
    assert f"descentlab.run_id = '{evidence.comparison.scores['run_id'].iloc[0]}'" in tag[1]
