"""The transformer on words: its parameters, that it looks at no word to come, its data and its metric."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from descentlab.problems.base import Data
from descentlab.problems.builtin import word_transformer
from descentlab.problems.builtin.word_transformer import LENGTH, PROBLEM, SIZES, VOCABULARY, load_data
from descentlab.problems.datasets.source_text import SourceFile, split_files
from descentlab.problems.next_symbol import mean_nats

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


def test_parameters_are_as_counted() -> None:
    model = PROBLEM.build_model()
    shapes = [tuple(variable.shape) for variable in model.trainable_variables]
    assert sum(int(np.prod(shape)) for shape in shapes) == model.count_params() == 154496
    assert [shape for shape in shapes if VOCABULARY in shape] == [(VOCABULARY, 32)]  # the logits have the embedding's
    assert PROBLEM.count.endswith("= 154,496") and "154,496 parameters" in PROBLEM.title


def test_examples(data: Data) -> None:
    data.check("word_transformer")
    assert data.test is not None
    assert data.x.shape == data.y.shape == (SIZES.rest + SIZES.test, LENGTH) == (1760, 32)
    assert data.x.dtype == data.y.dtype == np.int32
    np.testing.assert_array_equal(data.y[:, :-1], data.x[:, 1:])
    assert (data.y.min(), data.test.tolist()) == (0, list(range(1280, 1760))) and data.y.max() < VOCABULARY
    assert data.hash() == load_data(None).hash()
    unknown = (data.y == 0).mean(axis=1)
    assert unknown[:1280].mean() == pytest.approx(0.04, abs=0.01)  # as the docstring says
    assert unknown[1280:].mean() == pytest.approx(0.055, abs=0.01)


def test_nothing_of_a_test_file_is_outside_the_test_split(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """With other text in the test files, the others' examples and their vocabulary stay the same."""
    rest, test = split_files()
    assert {file.path for file in rest}.isdisjoint(file.path for file in test)
    other = [SourceFile(file.path, "unheard of\n" * 200) for file in test]
    monkeypatch.setattr(word_transformer, "split_files", lambda: (rest, other))
    changed = load_data(None)
    np.testing.assert_array_equal(changed.x[:1280], data.x[:1280])
    assert (changed.x[1280:] != data.x[1280:]).any(axis=1).all()


def test_an_output_depends_on_the_words_so_far_and_their_order(data: Data) -> None:
    model = PROBLEM.build_model()
    words = data.x[:1].copy()
    changed = words.copy()
    changed[0, 20] = (words[0, 20] + 1) % VOCABULARY
    both = keras.ops.convert_to_numpy(model(np.concatenate([words, changed])))
    assert both.shape == (2, LENGTH, VOCABULARY)
    difference = np.abs(both[0] - both[1]).max(axis=-1)
    assert difference[:20].max() < 1e-5 < difference[20:].min()
    swapped = words.copy()
    swapped[0, [3, 4]] = words[0, [4, 3]]
    assert words[0, 3] != words[0, 4]
    assert np.abs(keras.ops.convert_to_numpy(model(swapped))[0, 10] - both[0, 10]).max() > 1e-5


def test_the_metric_is_the_mean_over_positions_of_the_loss_in_nats(data: Data) -> None:
    y = data.y[:3]
    logits = np.random.default_rng(0).normal(size=(3, LENGTH, VOCABULARY)).astype(np.float32)
    by_hand = -np.take_along_axis(log_softmax(logits.astype(np.float64), axis=-1), y[..., None], axis=-1)[..., 0]
    scores = keras.ops.convert_to_numpy(mean_nats(y, logits))
    np.testing.assert_allclose(scores, by_hand.mean(axis=1), rtol=1e-5)
    assert float(PROBLEM.loss(y, logits)) == pytest.approx(by_hand.mean(), rel=1e-5)
    np.testing.assert_allclose(mean_nats(y, 0 * logits), np.log(VOCABULARY), rtol=1e-6)


def test_saved_and_loaded_the_model_is_the_same(data: Data, tmp_path: object) -> None:
    model = PROBLEM.build_model()
    model.save(f"{tmp_path}/model.keras")
    loaded = keras.saving.load_model(f"{tmp_path}/model.keras")
    first, second = (keras.ops.convert_to_numpy(each(data.x[:2])) for each in (model, loaded))
    np.testing.assert_array_equal(first, second)
