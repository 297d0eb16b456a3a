"""How often the report's intervals hold the truth, by simulation: a confidence level is a promise that can be checked.

The simulation has the experiment's own shape: as many pairs of seeds and test examples as it has.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.paired import estimate_crossed
from descentlab.storage.tables import Column

COVERAGE_COLUMNS: dict[str, Column] = {
    "differences": Column("str", "", "", "distribution of the seeds' differences"),
    "symmetric": Column("bool", "", "", "whether it is symmetric about its mean"),
    "coverage": Column("float64", "share", "", "of the 95 % intervals that hold the true mean difference"),
    "standard_error": Column("float64", "share", "lower", "of the simulated share"),
    "n": Column("int64", "seeds", "", "pairs of seeds"),
    "examples": Column("int64", "examples", "", "test examples"),
    "trials": Column("int64", "trials", "", "simulated comparisons"),
}

SEED_DEVIATION, EXAMPLE_DEVIATION, NOISE = 0.02, 0.12, 0.3  # roughly those of accuracies on digits

ROUNDED = "rounded"
# Draws with mean 0 and variance 1.
SYMMETRIC: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda generator, n: generator.normal(0, 1, n),
    "heavy-tailed": lambda generator, n: generator.standard_t(3, n) / np.sqrt(3),
}
SKEWED: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "exponential": lambda generator, n: generator.exponential(1, n) - 1,
    "lognormal": lambda generator, n: (generator.lognormal(0, 1, n) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e),
}


def correlated_scores(generator: np.random.Generator, n: int, examples: int, shift: np.ndarray) -> np.ndarray:
    """Differences between the answers (right or wrong) of two equally good classifiers that share seeds and examples.

    Args:
        shift: what each seed adds to the first and subtracts from the second, in logits, shape (n,).

    Returns:
        −1, 0 or 1, shape (n, examples); their true mean over seeds and examples is 0.
    """
    difficulty, taste = generator.normal(2.5, 2, examples), generator.normal(0, 0.25, examples)
    common = generator.normal(0, 0.5, (n, 1)) + difficulty + generator.normal(0, 0.7, (n, examples))
    own = generator.normal(0, 0.5, (2, n, examples))
    first, second = common + own[0] + taste + shift[:, None], common + own[1] - taste - shift[:, None]
    return (first > 0).astype(np.float64) - (second > 0)


def draw_differences(kind: str, generator: np.random.Generator, n: int, examples: int) -> np.ndarray:
    """One simulated comparison without a true difference, shape (n, examples)."""
    if kind == ROUNDED:
        return correlated_scores(generator, n, examples, generator.normal(0, 0.15, n))
    seed_effects = {**SYMMETRIC, **SKEWED}[kind](generator, n) * SEED_DEVIATION
    example_effects = generator.normal(0, EXAMPLE_DEVIATION, examples)
    return seed_effects[:, None] + example_effects[None, :] + generator.normal(0, NOISE, (n, examples))


def simulate_coverage(n: int, examples: int, trials: int, seed: int) -> pd.DataFrame:
    """The share of 95 % intervals that hold the true difference, one row per distribution (columns COVERAGE_COLUMNS)."""
    rows = []
    for number, kind in enumerate((ROUNDED, *SYMMETRIC, *SKEWED)):
        generator = np.random.default_rng([seed, number])
        covered = 0
        for _ in range(trials):
            low, high = estimate_crossed(draw_differences(kind, generator, n, examples)).interval()
            covered += low <= 0 <= high
        share = covered / trials
        rows.append(
            {
                "differences": kind,
                "symmetric": kind not in SKEWED,
                "coverage": share,
                "standard_error": np.sqrt(share * (1 - share) / trials),
                "n": n,
                "examples": examples,
                "trials": trials,
            }
        )
    return pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))
