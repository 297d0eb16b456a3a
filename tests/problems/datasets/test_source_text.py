"""Keras' source text: its files, words, characters and blocks. Exact numbers are those of the Keras of requirements.lock."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from descentlab.problems.datasets import source_text
from descentlab.problems.datasets.source_text import (
    CHARACTERS,
    UNKNOWN,
    UNKNOWN_WORD,
    LanguageSizes,
    character_ids,
    cut_blocks,
    first_blocks,
    frequent_words,
    next_symbols,
    source_files,
    split_files,
    split_words,
    spread,
    word_ids,
)


@pytest.fixture(scope="module")
def rest() -> list[list[str]]:
    """The words of each file outside the test split."""
    return [split_words(file.text) for file in split_files()[0]]


def test_files_are_keras_modules_without_tests_repetitions_and_licenses() -> None:
    files = source_files()
    paths = [file.path for file in files]
    assert len({file.text for file in files}) == len(set(paths)) == len(files)
    assert not [path for path in paths if path.endswith("_test.py") or not path.endswith(".py")]
    assert {"layers/core/dense.py", "optimizers/adam.py"} <= set(paths)
    assert not [file.path for file in files if re.search("copyright|licensed under", file.text[:500], re.IGNORECASE)]
    assert (len(files), sum(len(file.text) for file in files)) == (477, 6_729_179)  # Keras 3.15.1


def test_a_quarter_of_the_files_is_the_test_split() -> None:
    rest, test = split_files()
    assert (rest, test) == split_files()
    assert sorted([*rest, *test], key=lambda file: file.path) == sorted(source_files(), key=lambda file: file.path)
    assert len(test) == round(len(source_files()) / 4) and rest[:20] != sorted(rest, key=lambda file: file.path)[:20]


def test_words_follow_zipfs_law(rest: list[list[str]]) -> None:
    """Log frequency falls by 1.2 to 1.3 per unit of log rank; natural language is near 1."""
    counts = np.sort(list(Counter(word for words in rest for word in words).values()))[::-1]
    for most in (1000, 4000):
        ranks = np.arange(1, most + 1)
        slope = np.polyfit(np.log(ranks), np.log(counts[:most]), 1)[0]
        assert slope == pytest.approx(-1.25, abs=0.05)


def test_words_leave_out_nothing_but_spaces() -> None:
    for file in source_files()[::20]:
        assert re.sub(r"\s", "", "".join(split_words(file.text))) == re.sub(r"\s", "", file.text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = b_1.c2", ["a", "=", "b_1", ".", "c2"]),
        ("if x:\n    y += 10\n\n\nelse:", ["if", "x", ":", "\n    ", "y", "+", "=", "10", "\n", "else", ":"]),
        ("x\n  \n    y", ["x", "\n    ", "y"]),
        ("1e-05 θ", ["1", "e", "-", "05", "θ"]),
        ("", []),
    ],
)
def test_known_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_a_vocabulary_has_the_most_frequent_words(rest: list[list[str]]) -> None:
    vocabulary = frequent_words(rest, 4000)
    assert vocabulary[0] == UNKNOWN_WORD and len(set(vocabulary)) == 4000
    known = set(vocabulary)
    counts = Counter(word for words in rest for word in words)
    inside = [counts[word] for word in vocabulary[1:]]
    assert inside == sorted(inside, reverse=True)
    assert max(count for word, count in counts.items() if word not in known) <= inside[-1]
    assert frequent_words(reversed(rest), 4000) == vocabulary
    for words in rest[:20]:
        ids = word_ids(words, vocabulary)
        assert [vocabulary[i] for i in ids if i != UNKNOWN] == [word for word in words if word in known]
        assert len(ids) == len(words)


def test_a_vocabulary_larger_than_the_text() -> None:
    assert frequent_words([["a", "b"]], 3) == [UNKNOWN_WORD, "a", "b"]
    with pytest.raises(ValueError, match="size must be at most 3, the words of the texts; received 4"):
        frequent_words([["a", "b"]], 4)


def test_characters_can_be_read_back() -> None:
    alphabet = np.array(["?", "\n", *map(chr, range(32, 127))])
    assert len(alphabet) == CHARACTERS
    for file in source_files()[::20]:
        readable = re.sub(r"[^\n -~]", "?", file.text)
        assert "".join(alphabet[character_ids(file.text)]) == readable


def test_blocks_are_parts_of_one_file_in_order() -> None:
    blocks = cut_blocks(np.arange(11), 3)
    assert blocks.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert cut_blocks(np.arange(2), 3).shape == (0, 3)
    for most in range(1, 12):
        chosen = spread(np.arange(10), most)
        gaps = np.diff(chosen)
        assert len(chosen) == min(most, 10) and chosen[0] == 0
        assert not gaps.size or (gaps.min() > 0 and gaps.max() - gaps.min() <= 1)
    assert spread(blocks[:0], 4).shape == (0, 3)


def test_too_few_blocks() -> None:
    files = [np.zeros((2, 3)), np.ones((3, 3))]
    assert first_blocks(files, 4)[:, 0].tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="count must be at most 5, the blocks of the files; received 6"):
        first_blocks(files, 6)


def test_examples_of_a_language_model_are_shifted_by_one_and_within_a_file() -> None:
    """File k holds the numbers from 100 k: where an example is from, and what follows what, can be seen."""
    files = [np.arange(100 * k, 100 * k + 50) for k in range(8)]
    data = next_symbols(files[:5], files[5:], 4, LanguageSizes(rest=15, test=6, most=3))
    assert data.test is not None and data.test.tolist() == list(range(15, 21))
    assert data.x.shape == data.y.shape == (21, 4)
    np.testing.assert_array_equal(data.y, data.x + 1)
    owners = data.x // 100
    assert (owners == owners[:, :1]).all()
    assert np.bincount(owners[:15, 0]).tolist() == [3] * 5 and set(owners[15:, 0]) == {5, 6}
    assert len(np.unique(np.column_stack([data.x, data.y[:, -1:]]))) == 21 * 5  # no overlap, targets included


def test_reading_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source_files.cache_clear()
    monkeypatch.setattr("builtins.__import__", lambda *args, **kwargs: pytest.fail("imported"))
    assert source_text.source_files()
