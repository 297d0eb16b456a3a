"""Muon's rule in NumPy, in double precision; the others are in optimizer_references.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def orthogonalise(g: np.ndarray, iterations: int = 5) -> np.ndarray:
    """Jordan et al. 2024: five Newton–Schulz iterations X ← aX + b(XXᵀ)X + c(XXᵀ)²X from G/‖G‖_F."""
    wide = g.T if g.shape[0] > g.shape[1] else g
    x = wide / (np.linalg.norm(wide) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * (gram @ x) + 2.0315 * (gram @ gram @ x)
    return x.T if g.shape[0] > g.shape[1] else x


def muon(
    w: np.ndarray, gradients: Sequence[np.ndarray], alpha: float, mu: float, decay: float, scaled: bool = True
) -> list[np.ndarray]:
    """Jordan et al. 2024, with Nesterov's momentum: B = μB + G, W −= η NewtonSchulz5(G + μB).

    ``scaled``: Liu et al. 2025, equation 4: the step times 0.2 √max(rows, columns), and decoupled decay.
    """
    b = np.zeros(w.shape)
    path = []
    for g in gradients:
        b = mu * b + g
        step = orthogonalise(g + mu * b)
        if scaled:
            step = 0.2 * np.sqrt(max(w.shape)) * step
        w = w - alpha * (step + decay * w)
        path.append(w)
    return path
