"""What Adam gains over SGD with momentum, by batch size: on language it grows up to the full batch, on images it does not.

Kunstner, Chen, Lavington & Schmidt 2023, *Noise Is Not the Main Factor Behind the Gap Between SGD and Adam on Transformers, but
Sign Descent Might Be*: training loss after equally many updates, each at its best constant rate. Here 60 updates, with 8 and
with all of 128 examples, one layer of the project's word transformer on 300 words and its network on digits. The problems are as
small as the effect allows in seconds; the gaps of seeds 0 to 3 are in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pytest

from descentlab.optimizers.build import build
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.base import Problem
from descentlab.problems.builtin import digits_cnn, word_transformer
from descentlab.problems.datasets.source_text import LanguageSizes
from descentlab.problems.random_streams import data_order
from descentlab.training.engine.compiled_model import CompiledModel
from descentlab.training.engine.trainable import initial_variables
from descentlab.training.engine.trainer import Trainer

pytestmark = pytest.mark.usefixtures("device")

EXAMPLES, SMALL, UPDATES, SEED = 128, 8, 60, 0
Rates = Mapping[str, tuple[float, ...]]


@pytest.fixture
def few_words(monkeypatch: pytest.MonkeyPatch) -> Problem:
    """The word transformer with 300 words, 12 of them an example, and one narrow layer."""
    small = {"VOCABULARY": 300, "LENGTH": 12, "WIDTH": 16, "HEADS": 2, "LAYERS": 1}
    for name, value in {**small, "SIZES": LanguageSizes(rest=EXAMPLES, test=1, most=8)}.items():
        monkeypatch.setattr(word_transformer, name, value)
    return word_transformer.PROBLEM


def gaps(problem: Problem, grid: Rates) -> tuple[float, float]:
    """The best training loss with momentum minus that with Adam, of small batches and of full ones."""
    data = problem.load_data(None).rows(np.arange(EXAMPLES))
    train = np.arange(EXAMPLES)
    ends: dict[str, list[float]] = {}
    for optimizer, rates in grid.items():
        trainer = Trainer(CompiledModel(problem, "graph"), partial(build, OPTIMIZERS[optimizer], "tuned", rates[0]))
        ends[optimizer] = []
        for batch_size in (SMALL, 0):
            order = data_order(problem.name, SEED, train, batch_size, -(-UPDATES * SMALL // EXAMPLES))
            losses = []
            for rate in rates:
                (end,) = trainer.train(
                    data,
                    initial_variables(problem, SEED),
                    order,
                    learning_rates(rate, "constant", UPDATES),
                    [UPDATES],
                    train,
                )
                losses.append(np.inf if np.isnan(end.means[0].loss) else end.means[0].loss)
            assert np.argmin(losses) < len(rates) - 1, "a higher rate might do better"
            ends[optimizer].append(min(losses))
    small, full = np.subtract(ends["momentum"], ends["adam"])
    return float(small), float(full)


def test_on_language_adams_gain_grows_up_to_the_full_batch(few_words: Problem) -> None:
    """From a loss of 5.7 the gap comes to 0.12, 0.10, 0.29 and 0.08 with 8 examples, 0.98, 1.22, 0.86 and 1.71 with all."""
    small, full = gaps(few_words, {"momentum": (0.1, 0.316, 1.0), "adam": (0.01, 0.0316, 0.1)})
    assert 0 < small < 0.4
    assert full > small + 0.5


def test_on_images_it_does_not() -> None:
    """From a loss of 2.3 it comes to 0.32, 0.22, 0.55 and 0.22 with 8 examples, 0.000, 0.003, 0.22 and 0.005 with all."""
    small, full = gaps(digits_cnn.PROBLEM, {"momentum": (0.0316, 0.1, 0.316, 1.0), "adam": (0.01, 0.0316, 0.1, 0.316)})
    assert abs(full) < 0.05
    assert full < small
