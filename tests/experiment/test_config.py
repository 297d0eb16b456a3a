"""What a config may say and what it then means; anything at all is taken, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descentlab.experiment.config import Config, ConfigError, load_config, parse_config
from descentlab.experiment.jobs import is_swept, trains_for_speed
from descentlab.experiment.optimizer_config import snake_case, table_entry
from descentlab.optimizers.build import build
from descentlab.optimizers.table import ASSUMED, CONFIG, LITERATURE, OPTIMIZERS
from support.config_cases import BASE, optimizer, parsed, problem

SLIDES_ADAGRAD = "descentlab.optimizers.slides_adagrad:SlidesAdaGrad"


def test_all_is_the_whole_table() -> None:
    assert [o.name for o in parsed(optimizers="all").optimizers] == list(OPTIMIZERS)
    more = parsed(optimizers=["all", {"optimizer": "adam", "name": "mine"}])
    assert [o.name for o in more.optimizers] == [*OPTIMIZERS, "mine"]


def test_defaults() -> None:
    config = parsed()
    assert config.arms == ("default", "tuned")
    assert config.seeds.final_seeds == list(range(10))
    assert config.seeds.tuning_seeds == [1000, 1001, 1002, 1003, 1004]
    assert (config.tuning.points, config.tuning.most_points, config.tuning.neighbors) == (7, 15, True)
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
        ("prodigy", "prodigy", "descentlab.optimizers.literature.prodigy:Prodigy"),
        ("AdEMAMix", "ademamix", "descentlab.optimizers.literature.ademamix:AdEMAMix"),
        ("ScheduleFreeSGD", "schedule_free_sgd", "descentlab.optimizers.literature.schedule_free_sgd:ScheduleFreeSGD"),
        (SLIDES_ADAGRAD, "slides_ada_grad", SLIDES_ADAGRAD),
    ],
)
def test_names_keras_strings_and_import_paths(written: str, name: str, factory: str) -> None:
    """Keras' own strings mean the class as Keras makes it: "sgd" has no momentum, "adam" no amsgrad."""
    entry = parsed(optimizers=[written]).optimizers[0].entry()
    assert (entry.name, entry.factory) == (name, factory)
    if name in OPTIMIZERS:
        assert entry.hyperparameters == OPTIMIZERS[name].hyperparameters


def test_all_stands_for_keras_own_and_all_literature_for_the_others() -> None:
    assert [o.name for o in parsed(optimizers="all_literature").optimizers] == list(LITERATURE)
    both = parsed(optimizers=["all", "all_literature", {"optimizer": "adam", "name": "mine"}]).optimizers
    assert [o.name for o in both] == [*OPTIMIZERS, *LITERATURE, "mine"]


def test_a_literature_optimizer_has_an_alpha_of_its_own() -> None:
    """Of Keras', ``alpha`` is the slides' learning rate."""
    entry = parsed(optimizers=[{"optimizer": "lookahead", "alpha": 0.8, "k": 10}]).optimizers[0].entry()
    assert entry.hyperparameters == {"alpha": 0.8, "k": 10}
    assert entry.center_source == LITERATURE["lookahead"].center_source


def test_keras_names_never_pick_a_variant() -> None:
    assert [table_entry(word) for word in ("sgd", "SGD")] == [OPTIMIZERS["sgd"]] * 2
    assert table_entry("ADAM") is OPTIMIZERS["adam"]
    assert table_entry("MultiOptimizer") is None
    for package in ("keras", "tensorflow.keras", "tf.keras"):
        assert (
            table_entry(f"{package}.optimizers:Adam") is table_entry(f"{package}.optimizers.Adam") is OPTIMIZERS["adam"]
        )


def test_a_mapping_changes_an_entry() -> None:
    heavy = {
        "optimizer": "sgd",
        "name": "heavy",
        "momentum": 0.99,
        "learning_rate": 0.5,
        "center_learning_rate": 0.2,
        "full_batch": True,
        "tuned_weight_decay": 0.1,
    }
    entry = parsed(optimizers=[heavy]).optimizers[0].entry()
    assert (entry.name, entry.factory, dict(entry.hyperparameters)) == ("heavy", "SGD", {"momentum": 0.99})
    assert (entry.default_learning_rate, entry.center_learning_rate) == (0.5, 0.2)
    assert (entry.full_batch, entry.tuned_weight_decay) == (True, 0.1)
    slides = parsed(optimizers=optimizer(learning_rate=0.001)).optimizers[0].entry()
    assert (slides.default_learning_rate, slides.center_learning_rate) == (0.001, 0.001)
    assert entry.center_source == slides.center_source == CONFIG
    assert parsed(optimizers=["sgd"]).optimizers[0].entry().center_source == OPTIMIZERS["sgd"].center_source


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
        assert (without.center_learning_rate, without.default_learning_rate) == (None, None)
        assert without.grid(7) == [None]
        assert (own.center_learning_rate, own.default_learning_rate) == (0.01, None)
        assert own.center_source == ASSUMED


def test_dumped_and_parsed_again_is_the_same_config() -> None:
    config = parsed(
        optimizers=["gd", *optimizer(name="b", momentum=0.5), SLIDES_ADAGRAD],
        seeds={"final": 2},
        problems=[*problem(epochs=3), "my.module:PROBLEM"],
    )
    again = parse_config(json.loads(config.as_json()), "plan")
    assert again.as_json() == config.as_json()
    assert [o.entry() for o in again.optimizers] == [o.entry() for o in config.optimizers]


def test_a_problem_may_have_its_own_optimizers_and_seeds() -> None:
    fewer = {"problem": "slides_mlp", "optimizers": ["sgd", "gd"], "seeds": {"final": 4}}
    tuned = {"problem": "linear_regression", "seeds": {"tuning": 2}}
    config = parsed(
        optimizers=["gd", "sgd", "adam"], problems=["mlp", fewer, tuned], seeds={"final": 3, "most": 12, "tuning": 5}
    )
    whole, part, _ = config.problems
    assert [e.name for e in config.entries(part)] == ["gd", "gd_equal_updates", "sgd"]
    assert [e.name for e in config.entries(whole)] == ["gd", "gd_equal_updates", "sgd", "adam"]
    assert config.seeds_of("mlp") == config.seeds
    further = parsed(problems=problem(seeds={"final": 2, "most": 6}), seeds={"final": 3, "most": 12})
    assert further.seeds_of("mlp").looks == [2, 4, 6]
    assert (config.seeds_of("slides_mlp").looks, config.seeds_of("slides_mlp").tuning) == ([4], 5)
    assert (config.seeds_of("linear_regression").looks, config.seeds_of("linear_regression").tuning) == ([3, 6, 12], 2)
    assert parse_config(json.loads(config.as_json()), "plan") == config


def test_a_problem_may_have_its_own_grid() -> None:
    long = {"problem": "slides_mlp", "tuning": {"points": 3, "neighbors": False}}
    config = parsed(problems=["mlp", long], tuning={"points": 5, "growth": 4})
    assert config.tuning_of("mlp") == config.tuning
    assert config.tuning_of("slides_mlp") == config.tuning.model_copy(update={"points": 3, "neighbors": False})
    assert [trains_for_speed(config, name) for name in ("mlp", "slides_mlp")] == [True, False]


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


def test_every_schedule_has_a_row_of_every_optimizer() -> None:
    raw = {"experiment": "e", "problems": ["mlp"], "schedules": ["wsd", "cosine", "mine.rates:falling"]}
    rateless = {"optimizer": SLIDES_ADAGRAD, "learning_rate": None}
    optimizers = ["gd", {"optimizer": "sgd", "schedule": "step"}, rateless]
    config = parse_config({**raw, "optimizers": optimizers}, "here")
    rows = {entry.name: entry for entry in config.entries(config.problems[0])}
    assert {name: (entry.tuned_schedule, entry.tuned_only) for name, entry in rows.items()} == {
        "gd": ("wsd", False),
        "gd_equal_updates": ("wsd", False),
        "gd_cosine": ("cosine", True),
        "gd_cosine_equal_updates": ("cosine", True),
        "gd_falling": ("mine.rates:falling", True),
        "gd_falling_equal_updates": ("mine.rates:falling", True),
        "sgd": ("step", False),
        "slides_ada_grad": ("linear", False),
    }
    assert rows["gd_cosine"].grid(7) == rows["gd"].grid(7)


@pytest.mark.usefixtures("device")
def test_every_weight_decay_has_a_row_of_every_optimizer_beside_the_schedules() -> None:
    raw = {"experiment": "e", "problems": ["mlp"], "schedules": ["linear", "wsd"], "weight_decays": [0, 0.0045]}
    rateless = {"optimizer": SLIDES_ADAGRAD, "learning_rate": None}
    optimizers = ["muon", {"optimizer": "adam", "tuned_weight_decay": 0.1, "schedule": "step"}, rateless]
    config = parse_config({**raw, "optimizers": optimizers}, "here")
    rows = {entry.name: entry for entry in config.entries(config.problems[0])}
    assert {name: (e.tuned_schedule, e.tuned_weight_decay, e.tuned_only) for name, e in rows.items()} == {
        "muon": ("linear", 0, False),
        "muon_decay_45e-4": ("linear", 0.0045, True),
        "muon_wsd": ("wsd", 0, True),
        "muon_wsd_decay_45e-4": ("wsd", 0.0045, True),
        "adam": ("step", 0.1, False),
        "slides_ada_grad": ("linear", None, False),
    }
    # Of both groups of its weights; and the default arm keeps Keras' decay.
    assert [build(rows["muon_decay_45e-4"], arm, 0.1).adam_weight_decay for arm in ("tuned", "default")] == [
        0.0045,
        0.004,
    ]


def test_a_problem_by_import_path_is_called_as_its_object() -> None:
    assert parsed(problems=["my.module:SPIRALS"]).problems[0].name == "spirals"


@pytest.mark.parametrize("name", ["a", "A-1_b", "0", "x" * 64])
def test_plain_names_are_taken(name: str) -> None:
    assert parsed(experiment=name).experiment == name


def test_snake_case() -> None:
    assert [snake_case(name) for name in ("SlidesAdaGrad", "make", "SGD2")] == ["slides_ada_grad", "make", "sgd2"]


def test_load_config(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("experiment: tiny\nproblems: [mlp]\noptimizers: [sgd, {optimizer: adam, epsilon: 1e-8}]\n")
    assert load_config(path).optimizers[1].hyperparameters == {"epsilon": 1e-8}


def test_load_config_refuses_what_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for content, expected in (
        (b"a: [1\nb: 2", "the config is not valid YAML: while parsing a flow sequence in "),
        (b"\xff", "the config can't be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
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
    assert str(caught.value) == f"{missing}: the config can't be read: [Errno 2] No such file or directory: '{missing}'"


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


def test_what_differs_from_the_defaults_is_the_same_experiment() -> None:
    path = "descentlab.optimizers.slides_adagrad:SlidesAdaGrad"
    optimizers = ["adam", path, {"optimizer": path, "name": "none", "learning_rate": None}]
    config = parse_config({"experiment": "e", "problems": ["mlp"], "optimizers": optimizers}, "test")
    plain = config.model_dump(mode="json", exclude_defaults=True)
    assert plain["optimizers"][2] == {"optimizer": path, "name": "none", "learning_rate": None}
    assert "learning_rate" not in plain["optimizers"][1]
    assert parse_config(plain, "test") == config


def test_a_problem_can_be_left_out_of_the_sweep() -> None:
    config = parsed(problems=[*problem(sweep=False), "slides_mlp"], optimizers=["sgd", "muon"])
    swept = {(p.name, name): is_swept(config, p.name, name) for p in config.problems for name in ("sgd", "muon")}
    assert [pair for pair, yes in swept.items() if yes] == [("slides_mlp", "sgd")]
