"""Models of several sizes on which every optimizer's step is measured: known ones, whatever the experiment's problems are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from descentlab.experiment.step_cost import LARGE_MODEL
from descentlab.problems.base import Data, Problem
from descentlab.training.problem_data import ProblemData

BATCH_SIZE = 32
RANDOM_EXAMPLES = 256


def build_large_model() -> Any:
    """A dense network 784-2048-4096-10 of 10,041,354 parameters."""
    import keras

    layers = [keras.Input((784,)), *(keras.layers.Dense(units, activation="relu") for units in (2048, 4096))]
    return keras.Sequential([*layers, keras.layers.Dense(10)], name=LARGE_MODEL)


def standard_problem(name: str, device: str) -> ProblemData:
    """A standard model with its data, or with random images where these would have to be downloaded or are none.

    Args:
        name: one of MODELS, or LARGE_MODEL.
        device: result of :func:`~descentlab.training.engine.device.configure_device`.

    Raises:
        ValueError: the model is unknown.
    """
    from descentlab.problems.builtin import mlp, slides_cnn, slides_mlp

    problems = {"slides_mlp": slides_mlp.PROBLEM, "mlp": mlp.PROBLEM, "slides_cnn": slides_cnn.PROBLEM}
    problems[LARGE_MODEL] = replace(mlp.PROBLEM, name=LARGE_MODEL, build_model=build_large_model)
    if name not in problems:
        raise ValueError(f"a model must be one of {', '.join(problems)}; received '{name}'")
    problem = problems[name]
    data = random_images(problem) if name in ("slides_cnn", LARGE_MODEL) else problem.load_data(None)
    return ProblemData(
        name=name,
        problem=replace(problem, load_data=lambda path: data),
        source=name,
        data_path=None,
        data_hash=data.hash(),
        batch_size=BATCH_SIZE,
        train_limit=None,
        evaluation_limit=None,
        requested_mode="auto",
        by_example=True,
        requested_width=1,
        device=device,
    )


def random_images(problem: Problem) -> Data:
    """Random inputs of the model's shape, of ten classes in turn."""
    images = np.random.default_rng(0).random((RANDOM_EXAMPLES, *problem.build_model().input_shape[1:]), np.float32)
    return Data(images, np.arange(RANDOM_EXAMPLES, dtype=np.int32) % 10)
