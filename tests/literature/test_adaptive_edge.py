"""The adaptive edge of stability: Adam at rate η sharpens the preconditioned loss up to 38/η.

Cohen et al. 2022, *Adaptive Gradient Methods at the Edge of Stability*, section 3: with a preconditioner P that no longer
changes, Adam's update is gradient descent with an exponential average of the gradients; on a quadratic it diverges where the
largest eigenvalue of P⁻¹H exceeds (2 + 2β₁) / ((1 − β₁) η): 38/η for β₁ = 0.9, and 2/η, descent's own, for β₁ = 0. Here
P = diag(√v̂ + ε).

The rates are Keras' default, 1e-3, and 3e-4: both are at the edge after a quarter of these updates. (1e-4 comes there after
9,500 updates, 3e-5 after some 16,000; from 1e-4 to 1e-2 the median hardly depends on the rate. 2026-11.)
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from support.chebyshev_network import Snapshot, sharpness, train_full_batch

pytestmark = pytest.mark.usefixtures("device")

BETA_2, EPSILON = 0.999, 1e-7
UPDATES = 20_000
EVALUATE_AT = list(range(UPDATES // 2 + 1, UPDATES + 1, 399))
# Two seeds from Keras' default start.
STARTS = [("glorot", seed, rate) for rate in (3e-4, 1e-3) for seed in (0, 1)]


def preconditioned_sharpness(snapshot: Snapshot) -> float:
    corrected = snapshot.state["velocity"].astype(np.float64) / (1 - BETA_2**snapshot.updates)
    return sharpness(snapshot.weights, np.sqrt(corrected) + EPSILON)


@pytest.mark.parametrize(
    ("beta_1", "edge", "median"),
    [
        # The medians seen in 2026-11, over rates and four seeds: 0.97 to 0.99 of it (0.964 to 0.994 from either start); the
        # independent run has 0.93 to 0.98.
        (0.9, 38, (0.95, 1.0)),
        (0.5, 6, (0.98, 1.03)),
        (0.0, 2, (0.98, 1.03)),
    ],
)
def test_the_preconditioned_sharpness_comes_to_the_edge_of_the_momentum(
    beta_1: float, edge: float, median: tuple[float, float]
) -> None:
    hyperparameters = {"beta_1": beta_1, "beta_2": BETA_2, "epsilon": EPSILON}
    make = partial(build, OPTIMIZERS["adam"], "default", 1e-3, hyperparameters)
    members = zip(*train_full_batch(make, STARTS, EVALUATE_AT), strict=True)
    for (_, _, rate), snapshots in zip(STARTS, members, strict=True):
        relative = np.array([preconditioned_sharpness(snapshot) for snapshot in snapshots]) * rate / edge
        assert median[0] < np.median(relative) < median[1]
        low, high = np.percentile(relative, [5, 95])
        assert 0.88 < low < high < 1.06
