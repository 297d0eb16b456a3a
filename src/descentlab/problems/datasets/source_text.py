"""The source text of the installed Keras package, for the problems on text.

Keras' modules without their tests (``keras/src/**/*.py``): about 470 files with 6.7 million characters, in which words are about
as rare as Zipf's law says. The text depends on the installed version, which ``requirements.lock`` pins.

- A file is in the test split or outside it as a whole. Files are drawn for it by a fixed seed.
- Of files with the same text, the first by path counts; those left out are all empty. Keras' files have no license headers,
  which every file would repeat.
- Sentences of docstrings come back in other files, as in any software, so test files are like the others, not independent of
  them.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data

SOURCE = message("the source code of the installed Keras package (Apache 2.0)")
TEST_SHARE, TEST_FILES_SEED = 0.25, 0
UNKNOWN = 0
UNKNOWN_WORD = "<unknown>"
# A line break with the indentation that follows it, a name, a number, or a character of punctuation.
WORD = re.compile(r"\n *|[^\W\d]\w*|\d+|[^\w\s]")
BLANK_LINES = re.compile(r"\s*\n(?=\s*\n)")
FIRST_CHARACTER, LAST_CHARACTER = 32, 126  # of those that can be printed in ASCII
CHARACTERS = 3 + LAST_CHARACTER - FIRST_CHARACTER  # with the unknown one, 0, and the line break, 1


@dataclass(frozen=True)
class SourceFile:
    """A file's path below ``keras/src``, with slashes, and its text."""

    path: str
    text: str


@dataclass(frozen=True)
class LanguageSizes:
    """Examples of a language model outside the test split and in it, and at most of one file."""

    rest: int
    test: int
    most: int


@functools.cache
def source_files() -> tuple[SourceFile, ...]:
    """The modules of Keras without their tests and without repeated files, sorted by path."""
    spec = importlib.util.find_spec("keras")
    assert spec is not None and spec.origin is not None  # descentlab depends on it
    root = Path(spec.origin).parent / "src"
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py") if not path.stem.endswith("_test"))
    first: dict[str, str] = {}
    for path in paths:
        first.setdefault((root / path).read_text(encoding="utf-8"), path)
    return tuple(SourceFile(path, text) for text, path in first.items())


def split_files() -> tuple[list[SourceFile], list[SourceFile]]:
    """The files outside the test split and those in it, a quarter, both in random order; the same at every call."""
    files = source_files()
    order = np.random.default_rng(TEST_FILES_SEED).permutation(len(files))
    first = round(TEST_SHARE * len(files))
    return [files[i] for i in order[first:]], [files[i] for i in order[:first]]


def split_words(text: str) -> list[str]:
    r"""Words, numbers, characters of punctuation, and line breaks with the indentation of the line that they begin.

    Names stay whole, blank lines and other spaces are left out.

    Example:
        >>> split_words("def f(x_1):\n\n    return -2")
        ['def', 'f', '(', 'x_1', ')', ':', '\n    ', 'return', '-', '2']
    """
    return WORD.findall(BLANK_LINES.sub("", text))


def frequent_words(texts: Iterable[Sequence[str]], size: int) -> list[str]:
    """A vocabulary: ``UNKNOWN_WORD`` and the most frequent words; of equally frequent ones, the first in alphabetical order.

    Raises:
        ValueError: the texts have fewer words.

    Example:
        >>> frequent_words([["b", "a"], ["c", "b"]], size=3)
        ['<unknown>', 'b', 'a']
    """
    counts = Counter(word for text in texts for word in text)
    if len(counts) < size - 1:
        raise ValueError(
            f"frequent_words: size must be at most {len(counts) + 1}, the words of the texts; received {size}"
        )
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return [UNKNOWN_WORD, *ordered[: size - 1]]


def word_ids(words: Sequence[str], vocabulary: Sequence[str]) -> np.ndarray:
    """Each word's place in the vocabulary, ``UNKNOWN`` if it has none; int32 of shape (n,).

    Example:
        >>> word_ids(["b", "c"], [UNKNOWN_WORD, "a", "b"]).tolist()
        [2, 0]
    """
    places = {word: place for place, word in enumerate(vocabulary)}
    return np.array([places.get(word, UNKNOWN) for word in words], np.int32)


def character_ids(text: str) -> np.ndarray:
    r"""1 for a line break, from 2 for the printable characters of ASCII, ``UNKNOWN`` for others; int32 of shape (n,).

    Example:
        >>> character_ids("\n !~θ").tolist()
        [1, 2, 3, 96, 0]
    """
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int64)
    printable = (codes >= FIRST_CHARACTER) & (codes <= LAST_CHARACTER)
    return np.where(codes == ord("\n"), 1, np.where(printable, codes - FIRST_CHARACTER + 2, UNKNOWN)).astype(np.int32)


def cut_blocks(ids: np.ndarray, length: int) -> np.ndarray:
    """Non-overlapping blocks in the order of the text, shape (blocks, length); a rest that fills no block is left out.

    Example:
        >>> cut_blocks(np.arange(5), 2).tolist()
        [[0, 1], [2, 3]]
    """
    return ids[: len(ids) // length * length].reshape(-1, length)


def spread(blocks: np.ndarray, most: int) -> np.ndarray:
    """At most so many blocks, evenly spread over those of a file, so that no long file is most of a text.

    Example:
        >>> spread(np.arange(5), 2).tolist()
        [0, 2]
    """
    taken = min(most, len(blocks))
    return blocks[np.arange(taken) * len(blocks) // max(taken, 1)]


def first_blocks(files: Iterable[np.ndarray], count: int) -> np.ndarray:
    """``count`` blocks, shape (count, length): those of the first file, of the second, and so on.

    Raises:
        ValueError: the files have fewer.
    """
    found: list[np.ndarray] = []
    for blocks in files:
        found.extend(blocks)
        if len(found) >= count:
            return np.stack(found[:count])
    raise ValueError(f"first_blocks: count must be at most {len(found)}, the blocks of the files; received {count}")


def next_symbols(rest: Iterable[np.ndarray], test: Iterable[np.ndarray], length: int, sizes: LanguageSizes) -> Data:
    """A language model's examples: ``length`` characters or words, and for each of them the one that follows it.

    Args:
        rest, test: characters or words of each file outside the test split and in it.
        length: of an example.
        sizes: how many examples.
    """
    parts = []
    for texts, count in ((rest, sizes.rest), (test, sizes.test)):
        parts.append(first_blocks((spread(cut_blocks(ids, length + 1), sizes.most) for ids in texts), count))
    blocks = np.concatenate(parts)
    return Data(blocks[:, :-1], blocks[:, 1:], test=np.arange(sizes.rest, len(blocks)))
