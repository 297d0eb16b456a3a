"""The recurrent network on characters: its parameters, its data and its metric."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from descentlab.problems.base import Data
from descentlab.problems.builtin import char_gru
from descentlab.problems.builtin.char_gru import LENGTH, PROBLEM, SIZES, bits_per_character, load_data
from descentlab.problems.datasets.source_text import CHARACTERS, SourceFile, split_files

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


def test_parameters_are_as_counted() -> None:
    model = PROBLEM.build_model()
    sizes = [int(np.prod(variable.shape)) for variable in model.trainable_variables]
    assert sum(sizes) == model.count_params() == 23601
    assert PROBLEM.count.endswith("= 23,601") and "23,601 parameters" in PROBLEM.title


def test_examples(data: Data) -> None:
    data.check("char_gru")
    assert data.test is not None
    assert data.x.shape == data.y.shape == (SIZES.rest + SIZES.test, LENGTH) == (2400, 64)
    assert data.x.dtype == data.y.dtype == np.int32
    np.testing.assert_array_equal(data.y[:, :-1], data.x[:, 1:])
    assert data.test.tolist() == list(range(1920, 2400)) and 0 <= data.y.min() and data.y.max() < CHARACTERS
    assert data.hash() == load_data(None).hash()


def test_nothing_of_a_test_file_is_outside_the_test_split(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """With other text in the test files, the others' examples stay the same."""
    rest, test = split_files()
    other = [SourceFile(file.path, "~" * 2000) for file in test]
    monkeypatch.setattr(char_gru, "split_files", lambda: (rest, other))
    changed = load_data(None)
    np.testing.assert_array_equal(changed.x[:1920], data.x[:1920])
    assert (changed.x[1920:] == CHARACTERS - 1).all() and not (data.x[1920:] == CHARACTERS - 1).all()


def test_an_output_depends_on_the_characters_so_far(data: Data) -> None:
    model = PROBLEM.build_model()
    both = np.repeat(data.x[:1], 2, axis=0)
    both[1, 40] = (both[0, 40] + 1) % CHARACTERS
    outputs = keras.ops.convert_to_numpy(model(both))
    assert outputs.shape == (2, LENGTH, CHARACTERS)
    difference = np.abs(outputs[0] - outputs[1]).max(axis=-1)
    assert difference[:40].max() < 1e-6 < 1e-4 < difference[40]


def test_the_metric_is_the_loss_in_bits(data: Data) -> None:
    y = data.y[:4]
    logits = np.random.default_rng(0).normal(size=(4, LENGTH, CHARACTERS)).astype(np.float32)
    by_hand = -np.take_along_axis(log_softmax(logits.astype(np.float64), axis=-1), y[..., None], axis=-1)[..., 0]
    scores = keras.ops.convert_to_numpy(bits_per_character(y, logits))
    np.testing.assert_allclose(scores, by_hand.mean(axis=1) / np.log(2), rtol=1e-5)
    assert float(PROBLEM.loss(y, logits)) == pytest.approx(scores.mean() * np.log(2), rel=1e-5)


def test_constant_predictions_leave_the_entropy_of_the_characters(data: Data) -> None:
    """In bits: of equal chances log2 of 97, of the characters' shares their entropy, which is what a bit is."""
    shares = np.bincount(data.y.ravel(), minlength=CHARACTERS) / data.y.size
    seen = shares[shares > 0]
    constant = np.broadcast_to(np.log(np.maximum(shares, 1e-12)), (*data.y.shape, CHARACTERS)).astype(np.float32)
    score = float(keras.ops.mean(bits_per_character(data.y, constant)))
    assert score == pytest.approx(-(seen * np.log2(seen)).sum(), rel=1e-4)
    assert float(keras.ops.mean(bits_per_character(data.y, 0 * constant))) == pytest.approx(np.log2(97), rel=1e-5)
