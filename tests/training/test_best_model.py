"""Which final run's model is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from descentlab.training.best_model import best_final_run, write_model
from descentlab.training.engine.trainable import with_built_models
from descentlab.training.run_result import RunResult
from models import zoo
from support.tiny_training import tiny_problem


def finals(**columns: list[object]) -> pd.DataFrame:
    """Four finished final runs, seeds 0 to 3; the last is the best."""
    plain = {
        "run_id": list("abcd"),
        "phase": "final",
        "arm": "tuned",
        "status": "finished",
        "seed": range(4),
        "val_metric": [0.1, 0.2, 0.3, 0.4],
        "higher_is_better": True,
    }
    return pd.DataFrame({**plain, **columns})


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        (finals(), "d"),
        (finals(higher_is_better=[False] * 4), "a"),
        (finals(val_metric=[0.1, 0.4, 0.4, 0.2]), "b"),  # of equals the smallest seed
        (finals(status=["finished"] * 3 + ["diverged"]), "c"),
        (finals(arm=["tuned"] * 2 + ["default"] * 2), "b"),
        (finals(arm=["default"] * 4), None),
        (finals(phase=["final"] + ["neighbor"] * 3), "a"),
        (finals(phase=["tuning"] * 4), None),
        (finals(status=["diverged"] * 4), None),
    ],
)
def test_the_best_run_is_of_the_arm_by_validation(runs: pd.DataFrame, best: str | None) -> None:
    assert best_final_run(runs, "tuned") == best


def test_a_model_that_keras_can_not_save_costs_nothing_but_its_file(tmp_path: Path, device: str) -> None:
    class Unsaved(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

        def get_config(self) -> dict[str, Any]:
            raise NotImplementedError("no config")

    def build_model() -> Any:
        return keras.Sequential([keras.Input((4,)), Unsaved(), keras.layers.Dense(3)])

    result = RunResult({}, pd.DataFrame(), np.empty(0), [np.ones((4, 3)), np.zeros(3)])
    path = tmp_path / "model.keras"
    assert write_model(tiny_problem(), None, path) == ""
    fault = write_model(replace(tiny_problem(), build_model=build_model), result, path)
    assert fault.startswith("NotImplementedError: no config (line ")
    assert not list(tmp_path.iterdir())
    plain = replace(tiny_problem(), build_model=lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    assert write_model(plain, result, path) == ""
    np.testing.assert_array_equal(keras.models.load_model(path).variables[0], 1)


def test_a_model_without_a_call_is_saved_with_its_weights(tmp_path: Path, device: str) -> None:
    problem = zoo.problem("gan_of_parts")
    problem = with_built_models(problem, problem.load_data(None))
    model = problem.build_model()
    values = [np.full_like(np.asarray(variable), 3) for variable in model.variables]
    path = tmp_path / "model.keras"
    assert write_model(problem, RunResult({}, pd.DataFrame(), np.empty(0), values), path) == ""
    loaded = keras.models.load_model(path, custom_objects={"GanOfParts": type(model)})
    assert len(loaded.weights) == len(model.weights) > 0
    assert all((weight == 3).all() for weight in loaded.get_weights())
