"""The examples of docs/your_model.md are planned as the page says."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from descentlab.experiment.config import parse_config
from descentlab.problems.base import Problem
from descentlab.training.make_plan import make_plan
from support.markdown_pages import blocks

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """That of the example with a table."""
    (example,) = blocks("python", "docs/your_model.md")
    folder: Path = tmp_path_factory.mktemp("readers")
    (folder / example.file).write_text(example.text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        found = importlib.import_module("my_table").PROBLEM
    assert isinstance(found, Problem)
    return found


def test_what_is_adapted_in_load_data_is_compiled(problem: Problem) -> None:
    del problem  # imported: the config names it
    config = {"experiment": "e", "problems": ["my_table:PROBLEM"], "optimizers": ["sgd"], "arms": ["default"]}
    (planned,) = make_plan(parse_config(config, "test")).problems.values()
    assert planned.mode == "xla" and planned.by_example
    assert (planned.train_examples + planned.val_examples, planned.test_examples) == (240, 60)


def test_it_is_adapted_on_the_examples_outside_the_test_split(problem: Problem) -> None:
    data, again = problem.load_data(None), problem.load_data(None)
    assert data.hash() == again.hash()
    others = np.setdiff1d(np.arange(len(data)), data.test)
    age = data.x["age"][others]
    assert (age.mean(), age.std()) == pytest.approx((0, 1), abs=1e-5)
    assert abs(data.x["age"].mean()) > 1e-3  # of all examples it is another
    assert set(data.x["job"][:, 1:].sum(axis=1)) == {1}
