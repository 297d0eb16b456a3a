"""Classes that a split lacks, on splits that are written out."""

from __future__ import annotations

import numpy as np
import pytest

from descentlab.problems.absent_classes import AbsentClass, absent_classes, class_labels
from descentlab.problems.splits import Split

Y = np.array([0, 0, 0, 1, 1, 1, 2, 2])
SPLITS = [
    (3, Split(np.array([0, 3, 6]), np.array([1, 4]), np.array([2, 5, 7]))),
    (1, Split(np.array([0, 1, 3]), np.array([4]), np.array([2, 5, 7]))),
]
ABSENT = (
    AbsentClass("0", "val", (1,)),
    AbsentClass("2", "train", (1,)),
    AbsentClass("2", "val", (1, 3)),
)


@pytest.mark.parametrize("y", [Y, Y[:, None], Y.astype(np.float32), np.eye(3)[Y]])
def test_absent_by_class_and_split(y: np.ndarray) -> None:
    assert absent_classes(y, SPLITS) == ABSENT


def test_a_class_may_be_a_word() -> None:
    words = np.array(["ham", "spam", "eggs"])[Y]
    assert [absent.label for absent in absent_classes(words, SPLITS)] == ["eggs", "eggs", "ham"]


@pytest.mark.parametrize(
    "y",
    [Y + 0.5, np.arange(5000), np.eye(3)[Y] * 2, np.zeros((8, 2)), {"a": Y}, np.zeros((8, 4, 2))],
)
def test_targets_that_are_no_classes(y: object) -> None:
    assert class_labels(y) is None
    assert absent_classes(y, SPLITS) == ()
