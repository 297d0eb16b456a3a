"""Classes that a split of some seed has no example of: nothing is learned or measured of them there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from descentlab.problems.splits import SPLITS, Split

MOST_CLASSES = 1000


@dataclass(frozen=True)
class AbsentClass:
    """A class without an example in a split.

    Attributes:
        label: of the class.
        split: ``train``, ``val`` or ``test``.
        seeds: ascending.
    """

    label: str
    split: str
    seeds: tuple[int, ...]


def class_labels(y: Any) -> np.ndarray | None:
    """The class of each example, shape (n,); None if the targets are no classes.

    Classes are whole numbers or text, one for each example, or one-hot rows.

    Example:
        >>> class_labels(np.array([[0.0, 1.0], [1.0, 0.0]])).tolist()
        [1, 0]
        >>> class_labels(np.array([0.5, 2.0])) is None
        True
    """
    if not isinstance(y, np.ndarray):
        return None
    if y.ndim == 2 and y.shape[1] > 1:
        one_hot = y.dtype.kind in "biuf" and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
        return y.argmax(axis=1) if one_hot else None
    if y.size != len(y) or not (y.dtype.kind in "biuU" or (y == np.rint(y)).all()):
        return None
    labels = y.reshape(-1) if y.dtype.kind != "f" else y.reshape(-1).astype(int)
    return labels if len(np.unique(labels)) <= MOST_CLASSES else None


def absent_classes(y: Any, splits: Iterable[tuple[int, Split]]) -> tuple[AbsentClass, ...]:
    """The classes that are absent from a split, by class and split; empty if the targets are no classes.

    Args:
        y: targets of all examples.
        splits: each seed and its split.
    """
    labels = class_labels(y)
    if labels is None:
        return ()
    classes, numbers = np.unique(labels, return_inverse=True)
    seeds: dict[tuple[int, str], list[int]] = {}
    for seed, split in splits:
        for name in SPLITS:
            counts = np.bincount(numbers[getattr(split, name)], minlength=len(classes))
            for number in np.flatnonzero(counts == 0):
                seeds.setdefault((int(number), name), []).append(seed)
    return tuple(
        AbsentClass(str(classes[number]), name, tuple(sorted(absent)))
        for (number, name), absent in sorted(seeds.items(), key=lambda item: (item[0][0], SPLITS.index(item[0][1])))
    )
