"""Which examples train, validate and test: the sealed test split, and a seed's split of the others."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.problems.random_streams import stream_seed

SPLITS = ("train", "val", "test")  # the fields of a Split, in its order


@dataclass(frozen=True)
class Split:
    """Indices of the training, validation and test examples; test is the same for every seed."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def hash(self) -> str:
        """sha256 of the three index arrays."""
        digest = hashlib.sha256()
        for part in (self.train, self.val, self.test):
            digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes() + b"|")
        return digest.hexdigest()


def test_indices(problem: Problem, data: Data) -> np.ndarray:
    """The sealed test split: the canonical one, or one drawn once for all seeds and all problems on the same data set.

    The protocol's reason stands in docs/protocol.md, "Sealed test".
    """
    if data.test is not None:
        return np.sort(np.asarray(data.test))
    indices = np.arange(len(data))
    n_test = math.ceil(problem.test_share * len(indices))
    seed = stream_seed(problem.dataset or problem.name, 0, "test split")
    _, test = _cut(problem, data, indices, len(indices) - n_test, n_test, seed)
    return np.sort(test)


def _cut(
    problem: Problem, data: Data, indices: np.ndarray, first: int, second: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint random parts of ``indices``, with the same shares of the classes where the problem is stratified."""
    from sklearn.model_selection import train_test_split

    stratified = problem.stratified and isinstance(data.y, np.ndarray)
    try:
        first_part, second_part = train_test_split(
            indices,
            train_size=first,
            test_size=second,
            random_state=seed,
            stratify=data.y[indices] if stratified else None,
        )
    except ValueError as error:  # too few examples, or too few of a class
        raise ProblemError(
            f"problem '{problem.name}': {len(indices)} examples can't be split into {first} and {second}"
            f"{' with equal shares of the classes' if stratified else ''}: {str(error).splitlines()[0]}"
        ) from error
    return np.asarray(first_part), np.asarray(second_part)


def requested_examples(problem: Problem, outside_test: int, train_examples: int | None = None) -> int:
    """The training examples that a split asks for, before it rounds down to whole batches."""
    available = int(outside_test * (1 - problem.validation_share))
    return min(available, train_examples or available)


def split_data(problem: Problem, data: Data, seed: int, batch_size: int, train_examples: int | None = None) -> Split:
    """Draw a seed's training and validation split from the examples outside the test split.

    The number of training examples is rounded down to a multiple of the batch size, so that every epoch uses each example
    exactly once and full-batch descent sees as many as the others. The remainder joins the validation split (or is left
    out, if ``train_examples`` asks for fewer than are available).

    Example:
        >>> from descentlab.problems.table import builtin_problem
        >>> digits = builtin_problem("mlp")
        >>> split = split_data(digits, digits.load_data(None), seed=0, batch_size=100)
        >>> len(split.train), len(split.val), len(split.test)  # 1,198 outside the test split; training gets whole batches
        (900, 298, 599)

    Raises:
        ProblemError: no batch can be filled, no example is left to validate on, or a class has too few.
    """
    test = test_indices(problem, data)
    rest = np.setdiff1d(np.arange(len(data)), test)
    available = int(len(rest) * (1 - problem.validation_share))
    requested = requested_examples(problem, len(rest), train_examples)
    n_train = requested // batch_size * batch_size
    n_val = len(rest) - n_train
    if requested < available:
        n_val = min(n_val, max(1, round(n_train * problem.validation_share / (1 - problem.validation_share))))
    if n_train == 0 or n_val == 0:
        raise ProblemError(
            f"problem '{problem.name}': batch_size must fit into the training split; received batch_size={batch_size}, "
            f"with {requested} training examples"
        )
    train, val = _cut(problem, data, rest, n_train, n_val, stream_seed(problem.name, seed, "split"))
    return Split(np.sort(train), np.sort(val), test)
