"""Sign descent: every weight moves by the rate, which is the steepest update of that largest entry.

Bernstein, Wang, Azizzadenesheli & Anandkumar 2018, *signSGD: Compressed Optimisation for Non-Convex Problems*, algorithm 1;
and the rules that begin as sign descent, whatever their averages: Adam, where m̂/√v̂ = g/|g| at the first update
(Kingma & Ba 2015, section 2.1; Balles & Hennig 2018), and Lion (Chen et al. 2023, algorithm 2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from descentlab.optimizers.build import build
from descentlab.optimizers.table import LITERATURE, OPTIMIZERS
from support.optimizer_trials import TOLERANCE, trained

pytestmark = pytest.mark.usefixtures("device")

RATE = 2.0**-10  # its sums are exact in single precision
ENTRIES = {**OPTIMIZERS, **LITERATURE}


def random_gradients(count: int) -> np.ndarray:
    """Of sizes from 1e-5 to 1e5, a third of the entries zero; shape (count, 6, 50)."""
    generator = np.random.default_rng(0)
    sizes = 10 ** generator.uniform(-5, 5, size=(count, 6, 50))
    return sizes * generator.choice([-1, 0, 1], size=sizes.shape)


def moves(name: str, gradients: np.ndarray, **hyperparameters: Any) -> np.ndarray:
    """What each update adds to the weights, from zero."""
    optimizer = build(ENTRIES[name], "default", RATE, hyperparameters)
    path, _ = trained(optimizer, np.zeros(gradients.shape[1:]), gradients)
    return np.diff(path, axis=0, prepend=0)


def test_every_weight_moves_by_exactly_the_rate_or_not_at_all() -> None:
    gradients = random_gradients(5)
    np.testing.assert_array_equal(moves("signum", gradients, momentum=0.0), -RATE * np.sign(gradients))


def test_the_update_is_the_steepest_of_its_largest_entry() -> None:
    """Where no entry exceeds η, ⟨Δ, g⟩ is at least -η ‖g‖₁ (Hölder): that is reached."""
    gradients = random_gradients(1)
    move = moves("signum", gradients, momentum=0.0)
    assert np.abs(move).max() == RATE
    assert np.sum(move * gradients) == pytest.approx(-RATE * np.abs(gradients).sum(), rel=1e-12)


@pytest.mark.parametrize("name", ["adam", "lion", "signum"])
def test_the_first_update_is_sign_descent(name: str) -> None:
    """Adam's except for ε̂ over √v, 3e-6 where the gradient is 1: no smaller ones, except zeros."""
    gradients = random_gradients(1)
    large = np.where(np.abs(gradients) < 1, 0, gradients)
    np.testing.assert_allclose(moves(name, large), -RATE * np.sign(large), rtol=TOLERANCE)
