"""What a config is refused for: one clear line that says where, what was received and what is valid."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from descentlab.optimizers.build import OptimizerError, build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.table import BUILTIN_PROBLEMS
from support.config_cases import BASE, optimizer, parsed, problem, refusal, refusal_of

PROBLEMS = ", ".join(BUILTIN_PROBLEMS)
NAMES = (
    "gd, sgd, momentum, nesterov, adagrad, rmsprop, adam, amsgrad, adamw, adamax, nadam, adadelta, adafactor, ftrl, "
    "lion, lamb, muon, schedule_free_adamw, signum, adabelief, ademamix, adopt, prodigy, soap, schedule_free_sgd, lookahead"
)
PLAIN = (
    "a name must be plain (letters, digits, '_' and '-', starting with a letter or digit, at most 64 characters); "
    "received"
)
PROBLEM_KEYS = (
    "problem, name, epochs, batch_size, train_examples, evaluation_examples, data, mode, optimizers, seeds, tuning, "
    "sweep, gd_equal_updates"
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "here: a config must be a mapping of keys to values; received NoneType"),
        (["mlp"], "here: a config must be a mapping of keys to values; received list"),
        ({}, "here: experiment: this key is required (and 2 more)"),
        ({"experiment": "a", "problems": ["mlp"]}, "here: optimizers: this key is required"),
    ],
)
def test_refuses_what_is_no_config(raw: Any, expected: str) -> None:
    assert refusal(raw) == expected


def test_refuses_unknown_keys_everywhere() -> None:
    assert refusal_of(experimnt="x") == (
        "here: experimnt: unknown key 'experimnt', did you mean 'experiment'? Valid: experiment, problems, optimizers, "
        "schedules, weight_decays, arms, patience, seeds, budget, tuning, sweep, measurements, execution, tracking, report"
    )
    assert refusal_of(problems=problem(epoch=3)) == (
        f"here: problems.0.epoch: unknown key 'epoch', did you mean 'epochs'? Valid: {PROBLEM_KEYS}"
    )
    assert refusal_of(problems=problem(tuning={"growth": 3})) == (
        "here: problems.0.tuning.growth: unknown key 'growth'. Valid: points, neighbors"
    )
    assert refusal_of(seeds={"finl": 3}) == (
        "here: seeds.finl: unknown key 'finl', did you mean 'final'? Valid: final, most, tuning"
    )
    assert refusal_of(tuning={"zzz": 3}) == (
        "here: tuning.zzz: unknown key 'zzz'. Valid: points, growth, neighbors, extended_trials"
    )
    assert refusal_of(tracking={"url": "x"}) == (
        "here: tracking.url: unknown key 'url', did you mean 'uri'? Valid: uri, tuning_curves"
    )
    assert refusal_of(report={"titel": "x"}) == (
        "here: report.titel: unknown key 'titel', did you mean 'title'? Valid: title, language, reference"
    )
    assert refusal_of(execution={"a": 1, "b": 2}) == (
        "here: execution.a: unknown key 'a'. Valid: optimizers_per_job, jobs_per_gpu, run_minutes (and 1 more)"
    )
    assert refusal_of(optimizers=optimizer(full_bach=True)) == (
        "here: optimizers.0: unknown key 'full_bach', did you mean 'full_batch'?; received {'optimizer': 'sgd', "
        "'full_bach': True}"
    )
    assert refusal({**BASE, 3: 4}) == "here: 3: keys must be text; received 3"


@pytest.mark.parametrize("word", ["lr", "alpha"])
def test_the_slides_words_for_the_learning_rate(word: str) -> None:
    assert refusal_of(optimizers=optimizer(**{word: 0.1})) == (
        f"here: optimizers.0: unknown key '{word}', did you mean 'learning_rate'?; received {{'optimizer': 'sgd', "
        f"'{word}': 0.1}}"
    )


def test_refuses_unknown_optimizers_and_problems_with_the_list() -> None:
    assert refusal_of(optimizers=["sgd", "adm"]) == (
        f"here: optimizers.1: unknown optimizer 'adm', did you mean 'adam'? Valid: {NAMES}, or an import path "
        "'package.module:Factory'; received 'adm'"
    )
    assert refusal_of(optimizers=["MultiOptimizer"]) == (
        f"here: optimizers.0: unknown optimizer 'MultiOptimizer'. Valid: {NAMES}, or an import path "
        "'package.module:Factory'; received 'MultiOptimizer'"
    )
    assert refusal_of(problems=["mlpp"]) == (
        f"here: problems.0: unknown problem 'mlpp', did you mean 'mlp'? Valid: {PROBLEMS}, or an import path "
        "'package.module:OBJECT'; received 'mlpp'"
    )
    assert refusal_of(problems=["package.module:"]) == (
        f"here: problems.0: unknown problem 'package.module:'. Valid: {PROBLEMS}, or an import path "
        "'package.module:OBJECT'; received 'package.module:'"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"problems": []}, "problems: must have at least one item; received []"),
        ({"optimizers": []}, "optimizers: must have at least one item; received []"),
        ({"arms": []}, "arms: must have at least one item; received []"),
        ({"problems": None}, "problems: must be a list; received None"),
        ({"problems": "mlp"}, "problems: must be a list; received 'mlp'"),
        ({"arms": "tuned"}, "arms: must be a list; received 'tuned'"),
        ({"optimizers": "adam"}, "optimizers: must be 'all', 'all_literature' or a list; received 'adam'"),
        ({"optimizers": [None]}, "optimizers.0: must be a mapping; received None"),
        ({"optimizers": [{"momentum": 0.5}]}, "optimizers.0.optimizer: this key is required"),
        ({"problems": [3]}, "problems.0: must be a mapping; received 3"),
        ({"problems": [{"name": "a"}]}, "problems.0.problem: this key is required"),
        ({"problems": [{"problem": ["mlp"]}]}, "problems.0.problem: must be a valid string; received ['mlp']"),
        ({"seeds": 3}, "seeds: must be a mapping; received 3"),
        ({"problems": problem(data=3)}, "problems.0.data: must be a valid string; received 3"),
    ],
)
def test_refuses_empty_and_misshapen_values(changes: dict[str, Any], expected: str) -> None:
    assert refusal_of(**changes) == f"here: {expected}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"problems": problem(epochs=0)}, "problems.0.epochs: must be greater than 0; received 0"),
        ({"problems": problem(epochs=1.5)}, "problems.0.epochs: must be a valid integer; received 1.5"),
        ({"problems": problem(epochs="3")}, "problems.0.epochs: must be a valid integer; received '3'"),
        ({"problems": problem(epochs=True)}, "problems.0.epochs: must be a valid integer; received True"),
        ({"problems": problem(batch_size=-1)}, "problems.0.batch_size: must be greater than 0; received -1"),
        (
            {"problems": problem(mode="fast")},
            "problems.0.mode: must be 'auto', 'xla', 'graph', 'patches', 'keras' or 'eager'; received 'fast'",
        ),
        ({"arms": ["best"]}, "arms.0: must be 'default', 'tuned' or 'extended'; received 'best'"),
        ({"seeds": {"final": 0}}, "seeds.final: must be greater than or equal to 1; received 0"),
        ({"seeds": {"tuning": 1001}}, "seeds.tuning: must be less than or equal to 1000; received 1001"),
        ({"tuning": {"points": 33}}, "tuning.points: must be less than or equal to 31; received 33"),
        (
            {"tuning": {"points": 4}},
            "tuning.points: the number of grid points must be odd, so that the center is one of them; received 4",
        ),
        (
            {"execution": {"optimizers_per_job": 0}},
            "execution.optimizers_per_job: must be 'auto' or a positive whole number; received 0",
        ),
        (
            {"execution": {"optimizers_per_job": "many"}},
            "execution.optimizers_per_job: must be 'auto' or a positive whole number; received 'many'",
        ),
        ({"optimizers": optimizer(learning_rate=0)}, "optimizers.0.learning_rate: must be greater than 0; received 0"),
        (
            {"optimizers": optimizer(learning_rate=math.inf)},
            "optimizers.0.learning_rate: must be a finite number; received inf",
        ),
        (
            {"optimizers": optimizer(learning_rate=math.nan)},
            "optimizers.0.learning_rate: must be a finite number; received nan",
        ),
        ({"optimizers": optimizer(learning_rate=True)}, "optimizers.0.learning_rate: must be a number; received True"),
        (
            {"optimizers": optimizer(learning_rate="fast")},
            "optimizers.0.learning_rate: must be a valid number, unable to parse string as a number; received 'fast'",
        ),
        (
            {"optimizers": optimizer(tuned_weight_decay=-1)},
            "optimizers.0.tuned_weight_decay: must be greater than or equal to 0; received -1",
        ),
        (
            {"optimizers": optimizer(epsilon={"a": 1})},
            "optimizers.0: 'epsilon' must be a number, text, true, false, null or a list; received {'a': 1}",
        ),
        (
            {"report": {"reference": "adam"}},
            "report.reference: must be one of the optimizers (sgd, momentum); received 'adam'",
        ),
    ],
)
def test_refuses_wrong_types_and_ranges(changes: dict[str, Any], expected: str) -> None:
    assert refusal_of(**changes) == f"here: {expected}"


@pytest.mark.parametrize("name", ["a/b", "..", "", "-a", "a b", "a\\b", "á", "x" * 65])
def test_names_must_be_plain(name: str) -> None:
    assert refusal_of(experiment=name) == f"here: experiment: {PLAIN} {name!r}"
    if name:
        assert refusal_of(problems=problem(name=name)) == f"here: problems.0.name: {PLAIN} {name!r}"
        assert refusal_of(optimizers=optimizer(name=name)) == f"here: optimizers.0.name: {PLAIN} {name!r}"


@pytest.mark.parametrize("name", ["cache", "mlflow-artifacts"])
def test_names_that_results_needs_are_refused(name: str) -> None:
    assert refusal_of(experiment=name) == (
        "here: experiment: an experiment can't be called 'cache' or 'mlflow-artifacts': results keeps its own there; "
        f"received '{name}'"
    )


def test_refuses_duplicate_names() -> None:
    assert refusal_of(problems=["mlp", "mlp"]) == "here: problems: names must be unique; repeated: mlp"
    assert refusal_of(optimizers=["adam", "Adam", "sgd", "SGD"]) == (
        "here: optimizers: names must be unique; repeated: adam, sgd"
    )
    assert refusal_of(arms=["tuned", "tuned"]) == "here: arms: names must be unique; repeated: tuned"
    assert refusal_of(optimizers=["gd", *optimizer(name="gd_equal_updates")]) == (
        "here: optimizers: another row (of full batches, schedules or weight decays) has this name: gd_equal_updates"
    )
    assert refusal_of(optimizers=["sgd", "adam"], problems=problem(optimizers=["adm"])) == (
        "here: problems: 'mlp' has an optimizer that the experiment lacks: 'adm', did you mean 'adam'? Valid: sgd, adam"
    )
    few = {"final": 5, "most": 10, "tuning": 1}
    assert refusal_of(seeds=few, problems=problem(seeds={"final": 2, "most": 8})) == (
        "here: problems: 'mlp' can't have more looks (2, 4, 8) than the experiment's seeds.final and seeds.most give (5, 10)"
    )
    assert refusal_of(seeds=few, problems=problem(seeds={"final": 8, "most": 4})) == (
        "here: problems: 'mlp': seeds.most: must be at least final (8); received 4"
    )
    assert refusal_of(tuning={"points": 3}, problems=problem(tuning={"points": 5})) == (
        "here: problems: 'mlp' can't have grids of more points than the experiment's tuning.points (3); received 5"
    )
    twice = parsed(problems=["mlp", *problem(name="mlp_short", epochs=2)])
    assert [p.name for p in twice.problems] == ["mlp", "mlp_short"]


def test_a_message_is_one_line_whatever_was_received() -> None:
    assert refusal_of(experiment="a\nb") == f"here: experiment: {PLAIN} 'a\\nb'"
    assert refusal({**BASE, "a\nb": 1}).startswith("here: a\\nb: unknown key 'a\\nb'. Valid: ")
    long = refusal_of(problems=problem(epochs="9" * 100))
    assert long == f"here: problems.0.epochs: must be a valid integer; received '{'9' * 76}..."


@pytest.mark.parametrize(
    ("hyperparameters", "expected"),
    [
        ({"epsilon": "small"}, "'epsilon' must be a number; received 'small'"),
        ({"beta_1": True}, "'beta_1' must be a number; received True"),
        ({"amsgrad": 1}, "'amsgrad' must be true or false; received 1"),
        ({"clipnorm": "big"}, "'clipnorm' must be a number or null; received 'big'"),
    ],
)
@pytest.mark.usefixtures("device")
def test_hyperparameters_of_a_wrong_type_are_refused_when_built(hyperparameters: dict[str, Any], expected: str) -> None:
    """Keras takes them, and fails at the first update; ``plan`` builds each optimizer, so nothing is trained before."""
    chosen = parsed(optimizers=[{"optimizer": "adam", **hyperparameters}]).optimizers[0].entry()
    with pytest.raises(OptimizerError) as caught:
        build(chosen, "default", 0.1)
    assert str(caught.value) == f"optimizer 'adam': {expected}"


@pytest.mark.parametrize("key", ["epochs", "batch_size", "train_examples", "evaluation_examples"])
def test_refuses_a_count_that_no_table_can_hold(key: str) -> None:
    assert refusal_of(problems=problem(**{key: 10**400})).startswith(
        f"here: problems.0.{key}: must be less than or equal to 1000000000; received 1000000"
    )
    assert parsed(problems=problem(**{key: 10**9})).problems[0].model_dump()[key] == 10**9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"schedules": ["cosin"]},
            "here: schedules.0: unknown schedule 'cosin', did you mean 'cosine'? Valid: constant, ",
        ),
        ({"schedules": ["wsd", "wsd"]}, "here: schedules: names must be unique; repeated: wsd"),
        ({"weight_decays": [0.01, 1e-2]}, "here: weight_decays: names must be unique; repeated: 0.01"),
        ({"weight_decays": [-0.01]}, "here: weight_decays.0: must be greater than or equal to 0; received -0.01"),
        (
            {"weight_decays": [0.01], "arms": ["default"]},
            "here: weight_decays: they are the tuned arm's, so arms needs 'tuned'",
        ),
        (
            {"schedules": ["wsd"], "arms": ["default"]},
            "here: schedules: they are the tuned arm's, so arms needs 'tuned'",
        ),
        ({"patience": 0}, "here: patience: must be greater than 0; received 0"),
        (
            {"schedules": ["linear", "wsd"], "optimizers": ["sgd", {"optimizer": "adam", "name": "sgd_wsd"}]},
            "here: optimizers: another row (of full batches, schedules or weight decays) has this name: sgd_wsd",
        ),
    ],
)
def test_refuses_schedules_and_patience_that_mean_nothing(changes: dict[str, Any], said: str) -> None:
    assert refusal_of(**changes).startswith(said)


@pytest.mark.usefixtures("device")
def test_no_weight_decay_is_a_value_where_keras_takes_it() -> None:
    entry = replace(OPTIMIZERS["muon"], hyperparameters={"weight_decay": None, "adam_weight_decay": None})
    built = build(entry, "default", 0.1)
    assert (built.weight_decay, built.adam_weight_decay) == (None, None)
