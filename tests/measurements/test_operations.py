"""Operations and bytes of an update: known answers by hand, the same wherever they are counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from descentlab.experiment.config import parse_config
from descentlab.experiment.operations import OPERATIONS_COLUMNS
from descentlab.experiment.step_cost import MODELS
from descentlab.measurements.operations import measure_operations, plan_operations
from descentlab.measurements.standard_models import standard_problem
from descentlab.optimizers.table import LITERATURE, OPTIMIZERS
from descentlab.training.make_plan import make_plan
from models import zoo
from support.job_data import job_data

pytestmark = pytest.mark.usefixtures("device")
PARAMETERS = 4810


@pytest.fixture(scope="module")
def counted() -> pd.DataFrame:
    entries = [OPTIMIZERS[name] for name in ("sgd", "momentum", "adam", "amsgrad")]
    return measure_operations([(standard_problem("mlp", "CPU"), entries)]).set_index("optimizer")


def test_an_update_by_hand(counted: pd.DataFrame) -> None:
    """Rate times gradient; momentum's two products and a sum more; Adam's moments, their ratio and its product.

    Adam: (g − m)(1 − β₁), (g² − v)(1 − β₂) and m a / (√v + ε), in which the profiler doesn't count the root: 2 + 3 + 3.
    """
    found = counted["update_operations"].round()
    assert found.to_dict() == {"sgd": 1, "momentum": 3, "adam": 8, "amsgrad": 9}


def test_an_update_moves_the_gradient_and_reads_and_writes_every_variable(counted: pd.DataFrame) -> None:
    """4 bytes of the gradient, and 8 of each variable: the weight, and none, one, two or three of the optimizer's."""
    assert counted["update_bytes"].to_dict() == {"sgd": 12, "momentum": 20, "adam": 28, "amsgrad": 36}


def test_an_update_moves_a_weight_by_the_rate_times_its_size(counted: pd.DataFrame) -> None:
    """Plain SGD by the gradient, momentum after ten by 1 + 0.9 + … + 0.9⁹ of it, Adam by one where there is a gradient."""
    sizes = counted["update_size"]
    assert sizes["momentum"] / sizes["sgd"] == pytest.approx((1 - 0.9**10) / 0.1, rel=0.01)
    assert sizes["sgd"] < 0.1 < 0.5 < sizes["adam"] <= 1.001


def test_forward_and_backward_pass_by_hand(counted: pd.DataFrame) -> None:
    """Two operations for every weight and example forward and for its gradient, and again for the second layer's input."""
    products = 32 * 2 * (2 * (64 * 64 + 64 * 10) + 64 * 10)
    assert counted["gradient_operations"].nunique() == 1
    assert counted["gradient_operations"].iloc[0] * PARAMETERS == pytest.approx(products, rel=0.02)


def test_a_whole_step_of_adam_takes_hardly_more_operations_than_one_of_plain_descent() -> None:
    """Seven more for each weight, on top of those of forward and backward pass on 32 examples: 153, 136 and 871 for each."""
    entries = [OPTIMIZERS[name] for name in ("sgd", "adam")]
    table = measure_operations((standard_problem(name, "CPU"), entries) for name in MODELS)
    table["step"] = table["update_operations"] + table["gradient_operations"]
    steps = table.pivot(index="model", columns="optimizer", values="step")
    assert (steps["adam"] / steps["sgd"]).round(3).to_dict() == {"slides_mlp": 1.051, "mlp": 1.051, "slides_cnn": 1.008}


def test_an_experiments_problems_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("descentlab.measurements.operations.MODELS", ("slides_mlp",))
    wanted = {"problem": "linear_regression", "batch_size": 8}
    raw = {"experiment": "e", "problems": [wanted], "optimizers": ["gd", "momentum"], "measurements": ["operations"]}
    table = plan_operations(make_plan(parse_config(raw, "test")), print)
    assert list(dict.fromkeys(table["model"])) == ["slides_mlp", "linear_regression"]
    own = table[table["model"] == "linear_regression"]
    # Plain SGD is there to compare with; full batch is plain SGD's update.
    assert list(zip(own["batch_size"], own["optimizer"], strict=True)) == [(8, "sgd"), (8, "momentum")]
    # The one bias counts, too; scalars such as the learning rate don't.
    assert own["update_bytes"].tolist() == [12, 20]


def test_a_problem_with_a_standard_models_name_counts_with_its_own_batches(
    counted: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient of twice as many examples takes twice as many operations, and it is another gradient."""
    monkeypatch.setattr("descentlab.measurements.operations.MODELS", ("mlp",))
    raw = {"experiment": "e", "problems": [{"problem": "mlp", "batch_size": 64}], "optimizers": ["sgd"]}
    (row,) = plan_operations(make_plan(parse_config(raw, "test")), print).to_dict("records")
    assert (row["model"], row["batch_size"]) == ("mlp", 64)
    assert row["gradient_operations"] / counted.loc["sgd", "gradient_operations"] == pytest.approx(2, rel=0.01)
    assert row["update_size"] != counted.loc["sgd", "update_size"]


def test_what_raises_costs_no_other_row() -> None:
    broken = replace(OPTIMIZERS["sgd"], name="broken", factory="no.such.module:Optimizer")
    said: list[str] = []
    table = measure_operations([(standard_problem("slides_mlp", "CPU"), [broken, OPTIMIZERS["sgd"]])], said.append)
    assert table["optimizer"].tolist() == ["sgd"]
    assert len(said) == 1 and "broken" in said[0] and "slides_mlp" in said[0]


SGD, ADAM, SOAP = OPTIMIZERS["sgd"], OPTIMIZERS["adam"], LITERATURE["soap"]


@pytest.mark.parametrize(("name", "mode"), [("heads_dict", "keras"), ("structured_data", "keras")])
def test_several_outputs_and_text_count(name: str, mode: str) -> None:
    """Two dense layers with biases at least: each weight counts twice for every example, forward and for its gradient."""
    problem = job_data(zoo.problem(name), mode, by_example=False)
    said: list[str] = []
    table = measure_operations([(problem, [SGD, ADAM])], said.append).set_index("optimizer")
    assert not said
    assert table["update_operations"].to_dict() == pytest.approx({"sgd": 1, "adam": 8}, rel=0.1)
    assert (table["gradient_operations"] > 4 * problem.batch_size * 0.9).all()


def test_a_step_of_a_models_own_is_left_out() -> None:
    said: list[str] = []
    cases = [(job_data(zoo.problem(name), "keras", by_example=False), [SGD]) for name in ("gan", "flat_targets")]
    table = measure_operations(cases, said.append)
    assert table["model"].tolist() == ["flat_targets"]
    assert len(said) == 1 and "gan" in said[0]
    assert list(measure_operations(cases[:1], said.append)) == list(OPERATIONS_COLUMNS)


def test_what_the_profiler_does_not_see_is_unknown_rather_than_too_few() -> None:
    """The turns of a GRU's loop, and SOAP's branches; an update's size is known all the same."""
    said: list[str] = []
    names = "masked_gru_characters", "flat_targets"
    cases = [(job_data(zoo.problem(name), by_example=False), [SGD, SOAP]) for name in names]
    table = measure_operations(cases, said.append).set_index(["model", "optimizer"])
    gru, soap = table.loc[("masked_gru_characters", "sgd")], table.loc[("flat_targets", "soap")]
    assert np.isnan(gru["gradient_operations"]) and gru["update_operations"] == pytest.approx(1, rel=0.01)
    assert np.isnan(soap[["update_operations", "update_bytes"]].astype(float)).all()
    assert soap["gradient_operations"] > 0 and min(gru["update_size"], soap["update_size"]) > 0
    # An embedding's gradient is more than SOAP can take: it is not trained there, either.
    assert ("masked_gru_characters", "soap") not in table.index
    assert len(said) == 3
