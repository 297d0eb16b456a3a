"""What a run is, its id, and its learning rate in a table."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from descentlab.experiment.records import rate_from_table, rate_in_table
from descentlab.experiment.run_spec import RunSpec

SPEC = RunSpec(
    problem="mlp",
    optimizer="adam",
    arm="tuned",
    phase="final",
    learning_rate=0.00316,
    schedule="linear",
    batch_size=32,
    epochs=20,
    reference_batch_size=32,
    equal_updates=False,
    seed=3,
)


def test_run_ids_can_be_read() -> None:
    assert SPEC.run_id == "mlp.adam.tuned.final.lr=0.00316.seed=3"
    assert replace(SPEC, learning_rate=None).run_id == "mlp.adam.tuned.final.lr=none.seed=3"
    assert replace(SPEC, learning_rate=1.0, arm="default").run_id == "mlp.adam.default.final.lr=1.seed=3"


def test_run_ids_differ_where_runs_do() -> None:
    """Among the runs of one experiment: what the id leaves out follows from what it has and the config."""
    changes = {"problem": "x", "optimizer": "x", "arm": "default", "phase": "tuning", "learning_rate": 0.01, "seed": 4}
    ids = {SPEC.run_id, *(replace(SPEC, **{name: value}).run_id for name, value in changes.items())}
    assert len(ids) == 1 + len(changes)


def test_as_dict_rebuilds_the_spec() -> None:
    assert RunSpec(**SPEC.as_dict()) == SPEC


def test_hyperparameters_of_the_extended_arm_are_in_the_id() -> None:
    extended = replace(SPEC, arm="extended", hyperparameters='{"beta_1": 0.9, "epsilon": 1e-08}')
    assert extended.run_id == "mlp.adam.extended.final.lr=0.00316.beta_1=0.9.epsilon=1e-08.linear.seed=3"
    assert extended.extended == {"beta_1": 0.9, "epsilon": 1e-8}
    assert SPEC.extended == {}


def test_no_learning_rate_is_nan_in_a_table_and_none_again_outside() -> None:
    rates = [None, 0.1, math.inf]
    column = pd.Series([rate_in_table(rate) for rate in rates])
    assert column.dtype == "float64" and math.isnan(column[0])
    assert [rate_from_table(value) for value in column] == rates
