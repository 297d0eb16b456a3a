"""Source code by package: chunks that don't name a package, whole files in a split, and scikit-learn's macro-F1."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from descentlab.problems.base import Data
from descentlab.problems.builtin import which_module
from descentlab.problems.builtin.which_module import (
    LENGTH,
    MOST,
    PACKAGES,
    PROBLEM,
    VOCABULARY,
    MacroF1,
    load_data,
    names_package,
    package_words,
)
from descentlab.problems.datasets.source_text import UNKNOWN, SourceFile, source_files
from descentlab.problems.splits import split_data

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(None)


def test_parameters_are_as_counted() -> None:
    model = PROBLEM.build_model()
    sizes = [int(np.prod(variable.shape)) for variable in model.trainable_variables]
    assert sum(sizes) == model.count_params() == 34096
    assert PROBLEM.count.endswith("= 34,096") and "34,096 parameters" in PROBLEM.title
    assert model.output_shape == (None, len(PACKAGES)) == (None, 16)


def test_examples(data: Data) -> None:
    data.check("which_module")
    assert data.test is not None
    assert (data.x.shape[1], data.x.dtype, data.y.dtype) == (LENGTH, np.int32, np.int32)
    assert 0 <= data.x.min() and data.x.max() < VOCABULARY
    assert data.hash() == load_data(None).hash()
    assert (len(data), len(data.test)) == (4413, 1180)  # Keras 3.15.1


def test_classes_are_heavy_tailed_and_in_every_split(data: Data) -> None:
    counts = np.bincount(data.y, minlength=16)
    assert counts.max() / counts.min() == pytest.approx(30, rel=0.1)  # as the docstring says
    for seed in (0, 1000):
        split = split_data(PROBLEM, data, seed, PROBLEM.batch_size)
        for part in (split.train, split.val, split.test):
            assert np.bincount(data.y[part], minlength=16).min() >= 5


def test_packages_are_those_with_at_least_six_files() -> None:
    sizes: dict[str, int] = {}
    for file in source_files():
        package, _, rest = file.path.partition("/")
        if rest:
            sizes[package] = sizes.get(package, 0) + 1
    assert tuple(sorted(name for name, size in sizes.items() if size >= 6)) == PACKAGES


def test_no_word_names_a_package() -> None:
    """Neither alone nor within a longer name; otherwise import paths would give the answer away."""
    texts = [package_words(file.text) for file in source_files()[::10]]
    words = {word for text in texts for word in text}
    assert not [word for word in words if set(word.lower().split("_")) & set(PACKAGES)]
    assert not [word for word in words if names_package(word)]
    assert "add_weight" in words and len(words) > VOCABULARY


def test_import_statements_are_left_out() -> None:
    code = "import os\nfrom x.y import z\n\nclass A:\n    from b import (\n        c,\n    )\n    d = important(e)\n"
    assert package_words(code) == ["\n", "class", "A", ":", "\n    ", "d", "=", "important", "(", "e", ")", "\n"]


def test_a_file_is_in_one_split_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """File k repeats a word of its own: a word of the vocabulary is one of a file outside the test split."""
    files = [file for file in source_files() if file.path.partition("/")[0] in PACKAGES and "/" in file.path]
    labels = [PACKAGES.index(file.path.partition("/")[0]) for file in files]
    outside = sum(size - math.ceil(size / 4) for size in np.bincount(labels))
    marked = tuple(SourceFile(file.path, f"word{k} " * 1000) for k, file in enumerate(files))
    monkeypatch.setattr(which_module, "source_files", lambda: marked)
    monkeypatch.setattr(which_module, "VOCABULARY", outside + 1)
    data = load_data(None)
    assert data.test is not None and len(data) == MOST * len(files)
    assert (data.x == data.x[:, :1]).all() and (data.x[data.test] == UNKNOWN).all()
    chunks = np.bincount(np.delete(data.x[:, 0], data.test))
    assert chunks.tolist() == [0] + [MOST] * outside
    assert np.bincount(data.y).tolist() == (MOST * np.bincount(labels)).tolist()


def test_macro_f1_is_scikit_learns() -> None:
    """In batches as well; a class that nothing has counts 0, as an answer that is never right does."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 4, 60).astype(np.int32)
    logits = (generator.normal(size=(60, 5)) + 2 * np.eye(5)[y]).astype(np.float32) - 3
    metric = MacroF1(5)
    for rows in np.array_split(np.arange(60), 7):
        metric.update_state(y[rows], logits[rows])
    answers = logits.argmax(axis=1)
    expected = f1_score(y, answers, labels=range(5), average="macro", zero_division=0)
    assert 0.3 < expected < 0.95
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    metric.update_state(y[:, None], np.tile([1.0, 0, 0, 0, 0], (60, 1)).astype(np.float32))
    share = (y == 0).mean()
    assert float(metric.result()) == pytest.approx(2 * share / (1 + share) / 5, rel=1e-5)  # precision share, recall 1
    again = MacroF1.from_config(metric.get_config())
    assert (again.classes, again.name) == (5, "macro_f1")
