"""Which traits are named: by their intervals, with what is left of the correlation without one problem."""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.advantages import ASSOCIATION_COLUMNS, LEAST_PROBLEMS
from descentlab.experiment.traits import TRAITS
from descentlab.report.trait_phrases import TRAIT_WORDS, trait_words
from support.report_evidence import values_of


def test_every_trait_has_a_name() -> None:
    assert set(TRAIT_WORDS) == set(TRAITS)


def test_only_traits_whose_interval_lacks_zero_are_named() -> None:
    rows = [
        ("tuned", "class_slope", -0.7, -0.9, -0.3, -0.8, -0.6, 20),
        ("tuned", "attention", 0.2, -0.3, 0.6, 0.1, 0.3, 20),
        ("tuned", "convex", 0.6, 0.1, 0.9, np.nan, np.nan, 20),
    ]
    table = pd.DataFrame(rows, columns=list(ASSOCIATION_COLUMNS))
    said = trait_words(table)
    named = [trait for trait, name in TRAIT_WORDS.items() if name in said]
    assert named == ["class_slope", "convex"]
    found = [value for value in values_of(said) if isinstance(value, float | int)]
    assert found == [-0.7, -0.9, -0.3, 20, -0.8, -0.6, 0.6, 0.1, 0.9, 20]
    assert not any(isinstance(value, float) for value in values_of(trait_words(table.iloc[1:2])))
    assert values_of(trait_words(table.iloc[:0])) == [LEAST_PROBLEMS]
