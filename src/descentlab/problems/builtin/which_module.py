"""A convolutional classifier that tells which package of Keras a piece of its source code is from.

Packages are as different in size as topics usually are: the largest of the 16 classes has about 30 times as many examples as the
smallest. Gradient descent learns rare classes slowly, and Adam is said not to (Kunstner et al. 2024, "Heavy-Tailed Class
Imbalance and Why Adam Outperforms Gradient Descent on Language Models"). Macro-F1 gives each class the same weight, so it shows
which optimizers leave the rare ones behind; loss and accuracy, means over all chunks, show little of it.

A piece doesn't say itself where it is from: import statements are left out, and so is every word that names a package.
"""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Metric, Problem
from descentlab.problems.classification import ACCURACY, CROSS_ENTROPY
from descentlab.problems.datasets.source_text import (
    SOURCE,
    cut_blocks,
    frequent_words,
    source_files,
    split_words,
    spread,
    word_ids,
)

PACKAGES = (
    "applications",
    "backend",
    "callbacks",
    "datasets",
    "export",
    "layers",
    "legacy",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "quantizers",
    "saving",
    "trainers",
    "utils",
    "visualization",
)
VOCABULARY = 2000
LENGTH = 64
WIDTH, FILTERS, KERNEL = 16, 32, 3
MOST = 12  # chunks of a file
TEST_SHARE, TEST_FILES_SEED = 0.25, 0
IMPORT = re.compile(r"^ *(?:from [\w.]+ import (?:\([^)]*\)|.*)|import .*)$", re.MULTILINE)


class MacroF1(keras.metrics.F1Score):
    """The mean over classes of F1, the harmonic mean of precision and recall, from labels and logits.

    A class that is neither among the labels nor predicted counts 0.

    Args:
        classes: how many there are.
    """

    def __init__(self, classes: int, name: str = "macro_f1") -> None:
        super().__init__(average="macro", name=name)
        self.classes = classes

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count labels of shape (n,) and the classes with the largest logits, shape (n, classes)."""
        labels = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), self.classes)
        answers = keras.ops.one_hot(keras.ops.argmax(y_pred, axis=-1), self.classes)
        super().update_state(labels, answers, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """What ``__init__`` takes."""
        return {"classes": self.classes, "name": self.name}


def build_model() -> keras.Model:
    """An embedding, one convolution over three words, its maximum over the chunk, and 16 logits."""
    layers = [
        keras.Input((LENGTH,), dtype="int32"),
        keras.layers.Embedding(VOCABULARY, WIDTH, name="words"),
        keras.layers.Conv1D(FILTERS, KERNEL, activation="relu", name="phrases"),
        keras.layers.GlobalMaxPooling1D(name="strongest"),
        keras.layers.Dense(len(PACKAGES), name="logits"),
    ]
    return keras.Sequential(layers, name="which_module")


def names_package(word: str) -> bool:
    """Whether a package's name is the word, or part of it between underscores.

    Example:
        >>> [names_package(word) for word in ("Layers", "from_saving_lib", "multilayers")]
        [True, True, False]
    """
    return not set(PACKAGES).isdisjoint(word.lower().split("_"))


def package_words(text: str) -> list[str]:
    r"""The words of a file without import statements; words that name a package are left out.

    Example:
        >>> package_words("from keras import ops\nfrom a import (\n    b,\n)\nops.exp(x)")
        ['\n', '.', 'exp', '(', 'x', ')']
    """
    return [word for word in split_words(IMPORT.sub("", text)) if not names_package(word)]


def load_data(path: str | None) -> Data:
    """Chunks of 64 words and the package, by its place in PACKAGES, that they are from.

    Packages with at least six files; at most twelve chunks of a file, evenly spread over it. In each package a quarter of the
    files, drawn by a fixed seed, are the test split. The vocabulary has the most frequent words of the others.

    Args:
        path: ignored; the text comes with Keras.
    """
    del path
    generator = np.random.default_rng(TEST_FILES_SEED)
    rest: list[tuple[int, list[str]]] = []
    test: list[tuple[int, list[str]]] = []
    for label, package in enumerate(PACKAGES):
        files = [file for file in source_files() if file.path.startswith(f"{package}/")]
        tested = generator.permutation(len(files)) < TEST_SHARE * len(files)
        for file, in_test in zip(files, tested, strict=True):
            (test if in_test else rest).append((label, package_words(file.text)))
    vocabulary = frequent_words((words for _, words in rest), VOCABULARY)
    labels = np.array([label for label, _ in (*rest, *test)], np.int32)
    chunks = [spread(cut_blocks(word_ids(words, vocabulary), LENGTH), MOST) for _, words in (*rest, *test)]
    sizes = [len(blocks) for blocks in chunks]
    return Data(np.concatenate(chunks), np.repeat(labels, sizes), test=np.arange(sum(sizes[: len(rest)]), sum(sizes)))


PROBLEM = Problem(
    name="which_module",
    title=message("Convolutional classifier of source code by package (16 classes, 34,096 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=CROSS_ENTROPY,
    metric=Metric(message("macro-F1"), True, MacroF1(len(PACKAGES))),
    metrics=(ACCURACY,),
    epochs=12,
    batch_size=32,
    margin=0.02,
    margin_reason=message(
        "two points of a hundred; where two models answer 5 % of each class's test chunks differently, twice the standard error "
        "of their difference is 1.9 points"
    ),
    count="words 32,000 + phrases 1,568 + logits 528 = 34,096",
    source=SOURCE,
)
