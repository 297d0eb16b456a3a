"""The batch on which updates are measured is the first of training, from the weights that training begins with."""

from __future__ import annotations

import numpy as np
import pytest

from descentlab.experiment.config import parse_config
from descentlab.measurements.standard_models import standard_problem
from descentlab.measurements.workload import Workload, planned_cases, planned_entries
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.make_plan import make_plan
from models import zoo
from support.job_data import job_data

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize(("model", "parameters"), [("slides_mlp", 53), ("mlp", 4_810), ("slides_cnn", 319_370)])
def test_workloads_have_real_gradients(model: str, parameters: int) -> None:
    """Those of the loss on the batch: a small step against them lessens it as much as their squares say."""
    work = Workload.of(standard_problem(model, "CPU"))
    assert (work.parameters, work.batch_size, len(work.batch[0])) == (parameters, 32, 32)

    def loss(step: float) -> float:
        for variable, value, gradient in zip(work.weights, work.initial, work.gradients, strict=True):
            variable.assign(value - step * np.asarray(gradient))
        return float(work.gradient.loss(*work.batch))

    squares = sum(float(np.sum(np.asarray(gradient, np.float64) ** 2)) for gradient in work.gradients)
    slope = (loss(-1e-2) - loss(1e-2)) / 2e-2
    assert slope == pytest.approx(squares, rel=0.05)
    work.restore_weights()
    for variable, value in zip(work.weights, work.initial, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_the_batch_and_the_weights_are_those_that_training_begins_with() -> None:
    problem = job_data(zoo.problem("heads_dict"), "keras", by_example=False)
    work = Workload.of(problem)
    order = data_order("heads_dict", 0, problem.split(0).train, problem.batch_size, 1)
    np.testing.assert_array_equal(work.batch[0], problem.data.x[order[0]])
    np.testing.assert_array_equal(work.batch[1]["kind"], problem.data.y["kind"][order[0]])
    for ours, value in zip(work.initial, initial_variables(problem.trainable, 0), strict=True):
        np.testing.assert_array_equal(ours, value)


def test_each_problem_is_measured_with_the_optimizers_that_train_it_and_plain_sgd() -> None:
    problems = ["linear_regression", {"problem": "mlp", "optimizers": ["adam"]}]
    raw = {"experiment": "e", "problems": problems, "optimizers": ["adam", "momentum", "sgd"]}
    for optimizers in (raw["optimizers"], ["adam", "momentum"]):
        plan = make_plan(parse_config({**raw, "optimizers": optimizers}, "test"))
        cases = {problem.name: [entry.name for entry in entries] for problem, entries in planned_cases(plan, "CPU")}
        assert cases == {"linear_regression": ["sgd", "adam", "momentum"], "mlp": ["sgd", "adam"]}
        assert [entry.name for entry in planned_entries(plan)] == ["sgd", "adam", "momentum"]
