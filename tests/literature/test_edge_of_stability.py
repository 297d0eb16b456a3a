"""The edge of stability: gradient descent at rate η sharpens the loss up to 2/η, and goes on training there.

Cohen, Kaur, Li, Kolter & Talwalkar 2021, *Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability*,
on their toy regression. Sharpness is in units of 2/η: above 1, descent on a quadratic diverges.

The answers at η = 0.06, 0.04 and 0.2 belong to the start ``uniform``, at a sharpness of 21 to 25. Keras' own, ``glorot``, is at
3: from there 0.2 doesn't diverge but comes to its edge, and at 0.06 two seeds of six had not come that far in 60,000 updates
(2026-11).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from support.chebyshev_network import Snapshot, loss_and_hessian, sharpness, train_full_batch

pytestmark = pytest.mark.usefixtures("device")

SEEDS = (0, 1, 2)
EDGE, BELOW, ABOVE = 0.06, 0.04, 0.2
UPDATES = 60_000
# An odd step, as the weights at the edge alternate from update to update: both phases are seen.
EVALUATE_AT = [*range(0, UPDATES, 1_499), UPDATES]
HALF = len(EVALUATE_AT) // 2
STARTS = [
    (start, seed, rate)
    for start, rate in (("uniform", EDGE), ("uniform", BELOW), ("uniform", ABOVE), ("glorot", ABOVE))
    for seed in SEEDS
]
Trained = dict[tuple[str, int, float], list[Snapshot]]


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Snapshots by start, seed and rate."""
    make = partial(build, OPTIMIZERS["gd"], "default", EDGE)
    by_member = zip(*train_full_batch(make, STARTS, EVALUATE_AT), strict=True)
    return {start: list(snapshots) for start, snapshots in zip(STARTS, by_member, strict=True)}


def relative_sharpness(snapshots: list[Snapshot], rate: float) -> np.ndarray:
    """Sharpness over 2/η at each snapshot."""
    return np.array([sharpness(snapshot.weights) for snapshot in snapshots]) * rate / 2


def losses(snapshots: list[Snapshot]) -> np.ndarray:
    return np.array([loss_and_hessian(snapshot.weights)[0] for snapshot in snapshots])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sharpness_comes_to_two_over_the_rate(trained: Trained, seed: int) -> None:
    """An independent run has the median 1.00 and 0.99 to 1.01 for the 5th and 95th percentile.

    Seen here: 0.9997 to 1.0003 and 0.993 to 1.006, in nine seeds.
    """
    second_half = relative_sharpness(trained["uniform", seed, EDGE][HALF:], EDGE)
    assert np.median(second_half) == pytest.approx(1, abs=0.002)
    low, high = np.percentile(second_half, [5, 95])
    assert 0.99 < low < high < 1.01


@pytest.mark.parametrize("seed", SEEDS)
def test_a_smaller_rate_stays_below_its_own_edge_and_not_below_the_larger_rates(trained: Trained, seed: int) -> None:
    """So it is the rate 0.06 that stops the sharpness, and not the network; the independent run stays below 0.82.

    Seen here: at most 0.74 to 0.84 in nine seeds.
    """
    relative = relative_sharpness(trained["uniform", seed, BELOW], BELOW)
    assert relative.max() < 0.9
    assert relative[HALF:].min() > BELOW / EDGE


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_falls_steadily_below_the_edge_and_unsteadily_at_it(trained: Trained, seed: int) -> None:
    below, edge = (losses(trained["uniform", seed, rate]) for rate in (BELOW, EDGE))
    assert (np.diff(below) < 0).all()
    assert (np.diff(edge[HALF:]) > 0).sum() >= 2  # 4 to 6 of 20 here
    assert np.median(edge[HALF:]) < np.median(edge[:HALF]) < edge[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rate_far_above_two_over_the_sharpness_at_the_start_diverges(trained: Trained, seed: int) -> None:
    first, *later = trained["uniform", seed, ABOVE]
    (relative,) = relative_sharpness([first], ABOVE)
    assert relative > 2  # 2.1 to 2.5
    assert not np.isfinite([snapshot.loss for snapshot in later]).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_rate_from_a_flat_start_comes_to_its_edge(trained: Trained, seed: int) -> None:
    """Keras' default start, from 0.3 of the edge; its median here is 1.000 to 1.005 in nine seeds."""
    relative = relative_sharpness(trained["glorot", seed, ABOVE], ABOVE)
    assert relative[0] < 0.5
    assert np.median(relative[HALF:]) == pytest.approx(1, abs=0.01)
    low, high = np.percentile(relative[HALF:], [5, 95])
    assert 0.98 < low < high < 1.05


def test_the_formula_that_is_differentiated_is_kerass_network(trained: Trained) -> None:
    for start in ("uniform", "glorot"):
        rate = BELOW if start == "uniform" else ABOVE
        for snapshot in trained[start, 0, rate][:HALF]:
            assert loss_and_hessian(snapshot.weights)[0] == pytest.approx(snapshot.loss, rel=1e-4)
