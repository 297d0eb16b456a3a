"""Every config is taken or refused in one clear line: where, what was received, what is valid."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descentlab.config import Config, ConfigError, load_config, parse_config, snake_case, table_entry
from descentlab.optimizers import OPTIMIZERS, OptimizerError, build

BASE: dict[str, Any] = {"experiment": "tiny", "problems": ["mlp"], "optimizers": ["sgd", "momentum"]}
PROBLEMS = "linear_regression, logistic_regression, slides_mlp, mlp, digits_cnn, slides_cnn"
NAMES = (
    "gd, sgd, momentum, nesterov, adagrad, rmsprop, adam, amsgrad, adamw, adamax, nadam, adadelta, adafactor, ftrl, lion, "
    "lamb, muon, schedule_free_adamw"
)
PLAIN = (
    "a name must be plain (letters, digits, '_' and '-', starting with a letter or digit, at most 64 characters); received"
)
PROBLEM_KEYS = (
    "problem, name, epochs, batch_size, train_examples, evaluation_examples, data, mode, gd_equal_updates"
)
SLIDES_ADAGRAD = "descentlab.examples.slides_adagrad:SlidesAdaGrad"


def parsed(**changes: Any) -> Config:
    return parse_config({**BASE, **changes}, "here")


def refusal(raw: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, "here")
    return str(caught.value)


def refusal_of(**changes: Any) -> str:
    return refusal({**BASE, **changes})


def problem(**keys: Any) -> list[dict[str, Any]]:
    return [{"problem": "mlp", **keys}]


def optimizer(**keys: Any) -> list[dict[str, Any]]:
    return [{"optimizer": "sgd", **keys}]


def test_all_is_the_whole_table() -> None:
    assert [o.name for o in parsed(optimizers="all").optimizers] == list(OPTIMIZERS)


def test_defaults() -> None:
    config = parsed()
    assert config.arms == ("default", "tuned")
    assert config.seeds.final_seeds == list(range(10))
    assert config.seeds.tuning_seeds == [1000, 1001, 1002]
    assert (config.tuning.points, config.tuning.neighbours) == (7, True)
    assert (config.execution.optimizers_per_job, config.report.reference) == ("auto", "momentum")
    assert (config.problems[0].problem, config.problems[0].name, config.problems[0].mode) == ("mlp", "mlp", "auto")


@pytest.mark.parametrize(
    ("written", "name", "factory"),
    [
        ("sgd", "sgd", "SGD"),
        ("rmsprop", "rmsprop", "RMSprop"),
        ("adam", "adam", "Adam"),
        ("SGD", "sgd", "SGD"),
        ("Adam", "adam", "Adam"),
        ("AdamW", "adamw", "AdamW"),
        ("ScheduleFreeAdamW", "schedule_free_adamw", "ScheduleFreeAdamW"),
        ("gd", "gd", "SGD"),
        ("nesterov", "nesterov", "SGD"),
        (SLIDES_ADAGRAD, "slides_ada_grad", SLIDES_ADAGRAD),
    ],
)
def test_names_keras_strings_and_import_paths(written: str, name: str, factory: str) -> None:
    """Keras' own strings mean the class as Keras makes it: "sgd" has no momentum, "adam" no amsgrad."""
    entry = parsed(optimizers=[written]).optimizers[0].entry()
    assert (entry.name, entry.factory) == (name, factory)
    if name in OPTIMIZERS:
        assert entry.hyperparameters == OPTIMIZERS[name].hyperparameters


def test_keras_names_never_pick_a_variant() -> None:
    assert [table_entry(word) for word in ("sgd", "SGD")] == [OPTIMIZERS["sgd"]] * 2
    assert table_entry("ADAM") is OPTIMIZERS["adam"]
    assert table_entry("MultiOptimizer") is None


def test_a_mapping_changes_an_entry() -> None:
    heavy = {
        "optimizer": "sgd", "name": "heavy", "momentum": 0.99, "learning_rate": 0.5, "centre_learning_rate": 0.2,
        "full_batch": True, "tuned_weight_decay": 0.1,
    }  # fmt: skip
    entry = parsed(optimizers=[heavy]).optimizers[0].entry()
    assert (entry.name, entry.factory, dict(entry.hyperparameters)) == ("heavy", "SGD", {"momentum": 0.99})
    assert (entry.default_learning_rate, entry.centre_learning_rate) == (0.5, 0.2)
    assert (entry.full_batch, entry.tuned_weight_decay) == (True, 0.1)
    slides = parsed(optimizers=optimizer(learning_rate=0.001)).optimizers[0].entry()
    assert (slides.default_learning_rate, slides.centre_learning_rate) == (0.001, 0.001)


def test_a_hyperparameter_of_a_variant_is_kept_unless_changed() -> None:
    momentum = {"optimizer": "nesterov", "momentum": 0.5}
    assert parsed(optimizers=[momentum]).optimizers[0].entry().hyperparameters == {"momentum": 0.5, "nesterov": True}


def test_numbers_that_yaml_reads_as_text() -> None:
    """YAML 1.1 wants a dot in 1.0e-7; without it the value is a text."""
    chosen = parsed(optimizers=[{"optimizer": "adam", "learning_rate": "1e-3", "epsilon": "1e-8"}]).optimizers[0]
    assert chosen.learning_rate == 1e-3
    assert chosen.hyperparameters == {"epsilon": 1e-8}


def test_learning_rate_null_on_an_import_path_means_none() -> None:
    """And stays so through plan.json; absent, it is the factory's own."""
    config = parsed(optimizers=[{"optimizer": SLIDES_ADAGRAD, "learning_rate": None}, "my.module:Mine"])
    for again in (config, parse_config(json.loads(config.as_json()), "plan")):
        without, own = (o.entry() for o in again.optimizers)
        assert (without.centre_learning_rate, without.default_learning_rate) == (None, None)
        assert math.isnan(without.grid(7)[0])
        assert (own.centre_learning_rate, own.default_learning_rate) == (0.01, None)


def test_dumped_and_parsed_again_is_the_same_config() -> None:
    config = parsed(
        optimizers=["gd", *optimizer(name="b", momentum=0.5), SLIDES_ADAGRAD], seeds={"final": 2},
        problems=[*problem(epochs=3), "my.module:PROBLEM"],
    )  # fmt: skip
    again = parse_config(json.loads(config.as_json()), "plan")
    assert again.as_json() == config.as_json()
    assert [o.entry() for o in again.optimizers] == [o.entry() for o in config.optimizers]


def test_full_batch_has_a_second_row_with_as_many_updates() -> None:
    config = parsed(optimizers=["gd", "sgd"], problems=["mlp", {"problem": "slides_mlp", "gd_equal_updates": False}])
    both, one = config.problems
    assert [e.name for e in config.entries(both)] == ["gd", "gd_equal_updates", "sgd"]
    assert [e.name for e in config.entries(one)] == ["gd", "sgd"]
    first, second, _ = config.entries(both)
    assert (first.full_batch, first.equal_updates) == (True, False)
    assert (second.full_batch, second.equal_updates) == (True, True)
    assert second.grid(7) == first.grid(7)
    assert config.problem("slides_mlp") is one


def test_a_problem_by_import_path_is_called_as_its_object() -> None:
    assert parsed(problems=["my.module:SPIRALS"]).problems[0].name == "spirals"


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
        "arms, seeds, tuning, execution, tracking, report"
    )
    assert refusal_of(problems=problem(epoch=3)) == (
        f"here: problems.0.epoch: unknown key 'epoch', did you mean 'epochs'? Valid: {PROBLEM_KEYS}"
    )
    assert refusal_of(seeds={"finl": 3}) == "here: seeds.finl: unknown key 'finl', did you mean 'final'? Valid: final, tuning"
    assert refusal_of(tuning={"zzz": 3}) == "here: tuning.zzz: unknown key 'zzz'. Valid: points, neighbours"
    assert refusal_of(tracking={"url": "x"}) == (
        "here: tracking.url: unknown key 'url', did you mean 'uri'? Valid: uri, tuning_curves"
    )
    assert refusal_of(report={"titel": "x"}) == (
        "here: report.titel: unknown key 'titel', did you mean 'title'? Valid: title, reference"
    )
    assert refusal_of(execution={"a": 1, "b": 2}) == (
        "here: execution.a: unknown key 'a'. Valid: optimizers_per_job (and 1 more)"
    )
    assert refusal_of(optimizers=optimizer(full_bach=True)) == (
        "here: optimizers.0: unknown key 'full_bach', did you mean 'full_batch'?; received {'optimizer': 'sgd', "
        "'full_bach': True}"
    )
    assert refusal({**BASE, 3: 4}) == "here: 3: keys must be texts; received 3"


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
        ({"optimizers": "adam"}, "optimizers: must be 'all' or a list; received 'adam'"),
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
        ({"problems": problem(mode="fast")}, "problems.0.mode: must be 'auto', 'xla' or 'graph'; received 'fast'"),
        ({"arms": ["best"]}, "arms.0: must be 'default' or 'tuned'; received 'best'"),
        ({"seeds": {"final": 0}}, "seeds.final: must be greater than or equal to 1; received 0"),
        ({"seeds": {"tuning": 1001}}, "seeds.tuning: must be less than or equal to 1000; received 1001"),
        ({"tuning": {"points": 33}}, "tuning.points: must be less than or equal to 31; received 33"),
        (
            {"tuning": {"points": 4}},
            "tuning.points: the number of grid points must be odd, so that the centre is one of them; received 4",
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
            "optimizers.0: 'epsilon' must be a number, a text, true, false, null or a list; received {'a': 1}",
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


@pytest.mark.parametrize("name", ["a", "A-1_b", "0", "x" * 64])
def test_plain_names_are_taken(name: str) -> None:
    assert parsed(experiment=name).experiment == name


@pytest.mark.parametrize("name", ["cache", "mlflow-artifacts"])
def test_names_that_results_needs_are_refused(name: str) -> None:
    assert refusal_of(experiment=name) == (
        "here: experiment: an experiment can't be called 'cache' or 'mlflow-artifacts': results keeps its own there; "
        f"received '{name}'"
    )


def test_refuses_duplicate_names() -> None:
    assert refusal_of(problems=["mlp", "mlp"]) == "here: problems: names must differ; more than once: mlp"
    assert refusal_of(optimizers=["adam", "Adam", "sgd", "SGD"]) == (
        "here: optimizers: names must differ; more than once: adam, sgd"
    )
    assert refusal_of(arms=["tuned", "tuned"]) == "here: arms: names must differ; more than once: tuned"
    assert refusal_of(optimizers=["gd", *optimizer(name="gd_equal_updates")]) == (
        "here: optimizers: the name is taken by a full-batch optimizer's second row: gd_equal_updates"
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


def test_snake_case() -> None:
    assert [snake_case(name) for name in ("SlidesAdaGrad", "make", "SGD2")] == ["slides_ada_grad", "make", "sgd2"]


def test_load_config(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("experiment: tiny\nproblems: [mlp]\noptimizers: [sgd, {optimizer: adam, epsilon: 1e-8}]\n")
    assert load_config(path).optimizers[1].hyperparameters == {"epsilon": 1e-8}


def test_load_config_refuses_what_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for content, expected in (
        (b"a: [1\nb: 2", "the config is no valid YAML; while parsing a flow sequence in "),
        (b"\xff\xfe\x00", "the config can't be read; 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"", "a config must be a mapping of keys to values; received NoneType"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert str(caught.value).startswith(f"{path}: {expected}")
        assert len(str(caught.value).splitlines()) == 1
    missing = tmp_path / "missing.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(missing)
    assert str(caught.value) == f"{missing}: the config can't be read; [Errno 2] No such file or directory: '{missing}'"


SCALARS = st.none() | st.booleans() | st.integers(-2, 40) | st.floats() | st.text(max_size=6)
WORDS = st.sampled_from([*OPTIMIZERS, "mlp", "all", "tuned", "default", "a.b:C", "adm", "lr", "learning_rate", "name"])
KEYS = st.sampled_from(["problem", "optimizer", "name", "epochs", "learning_rate", "momentum", "final", "points", "lr"])
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
CHANGES = st.dictionaries(st.sampled_from([*Config.model_fields, "experimnt"]) | SCALARS, VALUES, max_size=4)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(CHANGES)
def test_anything_is_taken_or_refused_in_one_line(changes: dict[Any, Any]) -> None:
    try:
        config = parse_config({**BASE, **changes}, "here")
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
        assert str(error).startswith("here: ")
        return
    assert parse_config(json.loads(config.as_json()), "here").as_json() == config.as_json()
    assert all(config.entries(problem) for problem in config.problems)
