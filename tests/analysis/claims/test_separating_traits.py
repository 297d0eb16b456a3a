"""Traits that separate the sides of a mixed claim: by hand, and the share that chance separates, simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.claims.separating_traits import chance_to_separate, separate_sides
from descentlab.experiment.traits import TRAITS


def piece(problem: str, verdict: str) -> dict[str, Any]:
    return {"place": {"code": "problem", "problem": problem}, "verdict": verdict}


def traits_of(**values: dict[str, float]) -> pd.DataFrame:
    """A row a problem; traits that aren't given are NaN."""
    return pd.DataFrame([{"problem": name, **dict.fromkeys(TRAITS, np.nan), **given} for name, given in values.items()])


PIECES = [piece("a", "supported"), piece("b", "negligible"), piece("c", "contradicted"), piece("d", "inconclusive")]


def test_a_trait_separates_that_is_larger_on_one_side_of_all_that_settled() -> None:
    table = traits_of(
        a={"class_slope": -2.0, "attention": 1, "noise_scale": 5.0, "convex": 0},
        b={"class_slope": -1.0, "attention": 0, "noise_scale": 1.0, "convex": 0},
        c={"class_slope": 0.0, "attention": 1, "noise_scale": 9.0, "convex": 0},
        d={"class_slope": -9.0, "attention": 1, "noise_scale": 5.0, "convex": 1},
    )
    found = separate_sides(PIECES, table)
    assert found is not None
    assert (found.verdict, found.n, found.n_rest) == ("supported", 1, 2)
    assert found.traits == (
        "class_slope",
    )  # attention is also c's, noise lies between, convexity is the same for all three
    assert found.n_traits == 3
    assert found.chance == pytest.approx(1 - (1 - 2 / 3) ** 3)


def test_a_problem_on_both_sides_is_separated_by_nothing() -> None:
    table = traits_of(a={"noise_scale": 1.0}, b={"noise_scale": 2.0})
    both = [piece("a", "supported"), piece("a", "contradicted"), piece("b", "contradicted")]
    found = separate_sides(both, table)
    assert found is not None and found.traits == ()


@pytest.mark.parametrize(
    "pieces",
    [
        [piece("a", "supported"), piece("b", "supported")],
        [piece("a", "supported"), piece("d", "inconclusive")],
        [{"place": {"code": "landscape", "landscape": "well"}, "verdict": v} for v in ("supported", "negligible")],
    ],
)
def test_nothing_is_said_of_a_claim_that_is_not_mixed_over_problems(pieces: list[dict[str, Any]]) -> None:
    assert separate_sides(pieces, traits_of(a={"convex": 0}, b={"convex": 1}, d={"convex": 1})) is None


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert separate_sides(PIECES, pd.DataFrame()) is None
    assert separate_sides(PIECES, traits_of(a={"convex": 0}, b={"convex": 1}, c={})) is None


@pytest.mark.parametrize(("n", "n_rest", "traits"), [(1, 3, 7), (2, 2, 7), (2, 4, 3), (3, 5, 5)])
def test_chance_is_what_meaningless_traits_do(n: int, n_rest: int, traits: int) -> None:
    values = np.random.default_rng(0).standard_normal((4000, traits, n + n_rest))
    first, rest = values[..., :n], values[..., n:]
    separated = (first.min(-1) > rest.max(-1)) | (first.max(-1) < rest.min(-1))
    assert separated.any(axis=1).mean() == pytest.approx(chance_to_separate(n, n_rest, traits), abs=0.03)
