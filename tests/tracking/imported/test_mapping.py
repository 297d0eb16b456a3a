"""The mapping of logged runs: the usual names, one's own, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from descentlab.experiment.config import ConfigError
from descentlab.tracking.imported.mapping import (
    USUAL_METRICS,
    MappingError,
    MetricsMapping,
    RunMapping,
    as_number,
    choose_metric,
    load_mapping,
    logged_optimizer,
    name_optimizer,
    plain_name,
    plain_names,
)

KEYS = "params, metrics, optimizers, step, first_epoch, batch_size, updates_per_epoch, filter, report"


def written(folder: Path, text: str) -> Path:
    (folder / "mapping.yaml").write_text(text)
    return folder / "mapping.yaml"


def refusal(folder: Path, text: str) -> str:
    with pytest.raises((ConfigError, MappingError)) as caught:
        load_mapping(written(folder, text))
    return str(caught.value).removeprefix(f"{folder / 'mapping.yaml'}: ")


def test_without_a_file_the_usual_names_hold() -> None:
    assert load_mapping(None) == RunMapping()


def test_one_name_is_a_list_of_one(tmp_path: Path) -> None:
    mapping = load_mapping(written(tmp_path, "params: {optimizer: algo, seed: [a, b]}\nmetrics: {train_loss: nll}\n"))
    assert (mapping.params.optimizer, mapping.params.seed) == (("algo",), ("a", "b"))
    assert mapping.metrics.train_loss == ("nll",)
    assert mapping.params.learning_rate == RunMapping().params.learning_rate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1\n", "a mapping must have keys and values; received list"),
        ("a: [\n", "the mapping is not valid YAML: "),
        ("parms: {}\n", f"parms: unknown key 'parms', did you mean 'params'? Valid: {KEYS}"),
        (
            "params: {optimiser: algo}\n",
            "params.optimiser: unknown key 'optimiser', did you mean 'optimizer'? Valid: optimizer, learning_rate, seed, "
            "problem, batch_size, epochs, updates_per_epoch",
        ),
        (
            "metrics: {val: x}\n",
            "metrics.val: unknown key 'val'. Valid: name, higher_is_better, margin, train, validation, test, train_loss, "
            "validation_loss, test_loss",
        ),
        ("params: {seed: []}\n", "params.seed: must have at least one item; received []"),
        ("step: batch\n", "step: must be 'epoch' or 'update'; received 'batch'"),
        ("metrics: {margin: 0}\n", "metrics.margin: must be greater than 0; received 0"),
        (
            "metrics: {test: r2}\n",
            "metrics: name: must be set where train, validation or test is; received {'test': 'r2'}",
        ),
        (
            "metrics: {name: r2}\n",
            "metrics: higher_is_better: must be true or false for 'r2'; it is known only for "
            f"{', '.join(USUAL_METRICS)}; received {{'name': 'r2'}}",
        ),
        (
            "optimizers: {SGD: plain sgd}\n",
            "optimizers: a name must be plain (letters, digits, '_' and '-', starting with a letter or digit, at most 64 "
            "characters); received {'SGD': 'plain sgd'}",
        ),
        (
            "report: {langauge: es}\n",
            "report.langauge: unknown key 'langauge', did you mean 'language'? Valid: title, language, reference",
        ),
    ],
)
def test_refuses_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(expected) if expected.endswith(": ") else message == expected
    assert "\n" not in message


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none.yaml: the mapping can't be read: .*No such file"):
        load_mapping(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("logged", "name", "higher"),
    [
        ({"loss", "val_loss", "accuracy", "val_accuracy"}, "accuracy", True),
        ({"loss", "val_loss", "test_acc"}, "acc", True),
        ({"loss", "val_loss", "val_mae", "mae"}, "mae", False),
        ({"loss", "val_loss", "accuracy"}, "loss", False),  # of training alone nothing can be compared
        (set(), "loss", False),
    ],
)
def test_the_metric_is_the_first_usual_one_with_a_validation_or_test_value(
    logged: set[str], name: str, higher: bool
) -> None:
    found = choose_metric(MetricsMapping(), logged)
    assert (found.name, found.higher_is_better) == (name, higher)
    assert found.test == (f"test_{name}",)
    assert found.val == (f"val_{name}", f"valid_{name}", f"validation_{name}")


def test_the_mappings_metric_is_taken_whatever_was_logged() -> None:
    mapping = MetricsMapping(name="r2", higher_is_better=True, test=("final_r2",))
    found = choose_metric(mapping, {"val_accuracy"})
    assert (found.name, found.higher_is_better, found.test) == ("r2", True, ("final_r2",))
    assert choose_metric(MetricsMapping(name="accuracy", higher_is_better=False), set()).higher_is_better is False


@pytest.mark.parametrize(
    ("logged", "values", "name"),
    [
        ("adam", {}, "adam"),
        ("Adam", {}, "adam"),
        ("adam", {"optimizer_amsgrad": "True"}, "amsgrad"),
        ("SGD", {"optimizer_momentum": "0.0", "optimizer_nesterov": "False"}, "sgd"),
        ("SGD", {"opt_momentum": "0.9"}, "momentum"),
        ("sgd", {"momentum": "0.9", "nesterov": "True"}, "nesterov"),
        ("SGD", {"momentum": "0.5"}, "sgd_momentum_0_5"),
        ("SGD", {"momentum": "None"}, "sgd"),
        ("RMSprop", {"momentum": "0.9"}, "rmsprop"),
        ("momentum", {"momentum": "0.5"}, "momentum"),
        ("gd", {}, "gd"),
        ("torch.SGD", {}, "theirs"),
    ],
)
def test_optimizers_get_the_names_that_the_report_knows(logged: str, values: dict[str, str], name: str) -> None:
    assert name_optimizer(logged, values, {"torch.SGD": "theirs"}) == name


def test_the_number_that_keras_gives_an_instance_is_no_part_of_a_name() -> None:
    names = RunMapping().params.optimizer
    assert logged_optimizer(names, {"optimizer_name": "adam_12"}) == "adam"
    assert logged_optimizer(names, {"opt_name": "SGD"}) == "SGD"
    assert (
        logged_optimizer(names, {"optimizer": "adam_12", "optimizer_name": "adam"}) == "adam_12"
    )  # the user's own word
    assert logged_optimizer(names, {"optimizer": "None"}) is None


@pytest.mark.parametrize(("text", "name"), [("a b/c", "a_b_c"), ("../x", "x"), ("é", "unnamed"), ("x" * 70, "x" * 64)])
def test_names_become_plain(text: str, name: str) -> None:
    assert plain_name(text) == name


def test_two_names_stay_two() -> None:
    texts = ["a/b", "a_b", "🙂", "🙃", "x" * 70, "x" * 69, "adam!"]
    names = plain_names(texts, taken={"adam"})
    assert [names[text] for text in texts] == [
        "a_b",
        "a_b_2",
        "unnamed",
        "unnamed_2",
        "x" * 60 + "_2",
        "x" * 64,
        "adam_2",
    ]
    assert plain_names(reversed(texts), taken={"adam"}) == names


def test_numbers_of_parameters() -> None:
    assert [as_number(text) for text in ("0.5", "True", "false", "1e-3")] == [0.5, 1.0, 0.0, 0.001]
    assert all(math.isnan(as_number(text)) for text in (None, "", "None", "{'class_name': 'CosineDecay'}"))
