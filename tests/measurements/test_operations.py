"""Operations and bytes of an update: known answers by hand, the same wherever they are counted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

from descentlab.experiment.config import parse_config
from descentlab.measurements.operations import measure_operations, plan_operations
from descentlab.measurements.step_loops import MODELS, build_workload
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.training.make_plan import make_plan

pytestmark = pytest.mark.usefixtures("device")
PARAMETERS = 4810


@pytest.fixture(scope="module")
def counted() -> pd.DataFrame:
    entries = [OPTIMIZERS[name] for name in ("sgd", "momentum", "adam", "amsgrad")]
    return measure_operations(entries, [partial(build_workload, "mlp", 0, "CPU")]).set_index("optimizer")


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
    table = measure_operations(entries, [partial(build_workload, name, 0, "CPU") for name in MODELS])
    table["step"] = table["update_operations"] + table["gradient_operations"]
    steps = table.pivot(index="model", columns="optimizer", values="step")
    assert (steps["adam"] / steps["sgd"]).round(3).to_dict() == {"slides_mlp": 1.051, "mlp": 1.051, "slides_cnn": 1.008}


def test_an_experiments_problems_count_and_what_cannot_be_traced_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"problem": "linear_regression", "batch_size": 8}
    raw = {"experiment": "e", "problems": [wanted], "optimizers": ["gd", "momentum"], "measurements": ["operations"]}
    plan = make_plan(parse_config(raw, "test"))
    monkeypatch.setattr("descentlab.measurements.operations.MODELS", ())
    table = plan_operations(plan)
    # Plain SGD is there to compare with; full batch is plain SGD's update.
    assert list(zip(table["model"], table["batch_size"], table["optimizer"], strict=True)) == [
        ("linear_regression", 8, "sgd"),
        ("linear_regression", 8, "momentum"),
    ]
    # The one bias counts, too; scalars such as the learning rate don't.
    assert table["update_bytes"].tolist() == [12, 20]
    broken = replace(OPTIMIZERS["sgd"], name="broken", factory="no.such.module:Optimizer")
    row = measure_operations([broken], [partial(build_workload, "slides_mlp", 0, "CPU")]).iloc[0]
    assert pd.isna(row["update_operations"]) and row["gradient_operations"] > 0
