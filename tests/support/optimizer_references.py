"""The optimizers' rules in NumPy, in double precision, each written from its paper's formulas or from the slides.

Every function takes the starting weights and the gradients of successive updates, and returns the weights after each.
The gradients are fixed beforehand, so that a rule is all that a reference can get wrong. A keyword that no paper has
stands for one place where Keras departs from the paper; its docstring names it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Weights = list[np.ndarray]
Gradients = Sequence[np.ndarray]


def gradient_descent(w: np.ndarray, gradients: Gradients, alpha: float) -> Weights:
    """Slide "Descenso de gradiente - Versiones": ``w = w - α * δw``."""
    path = []
    for dw in gradients:
        w = w - alpha * dw
        path.append(w)
    return path


def momentum(w: np.ndarray, gradients: Gradients, alpha: float, mu: float) -> tuple[Weights, Weights]:
    """Slide "Descenso de gradiente con Momentum": ``v = mu * v + alpha * dw; w = w - v``. Returns weights and v."""
    v = np.zeros(w.shape)
    path, velocities = [], []
    for dw in gradients:
        v = mu * v + alpha * dw
        w = w - v
        path.append(w)
        velocities.append(v)
    return path, velocities


def nesterov(w: np.ndarray, gradients: Gradients, alpha: float, mu: float) -> Weights:
    """Sutskever et al. 2013, equations 3 and 4: v' = μv − ε∇f(θ + μv), θ' = θ + v'.

    The gradient is taken at θ + μv, so those are the weights that a model must hold; they are what is returned.
    """
    theta, v, path = w, np.zeros(w.shape), []
    for g in gradients:
        v = mu * v - alpha * g
        theta = theta + v
        path.append(theta + mu * v)
    return path


def slides_adagrad(w: np.ndarray, gradients: Gradients, eps: float = 0.0001) -> Weights:
    """Slide "Optimizadores Avanzados: AdaGrad, RMSProp, Adam": no learning rate, ε outside the root."""
    gradient_history = np.zeros_like(w)
    path = []
    for dw in gradients:
        gradient_history = gradient_history + dw**2
        normalizing_factor = np.sqrt(gradient_history) + eps
        w = w - (dw / normalizing_factor)
        path.append(w)
    return path


def adagrad(w: np.ndarray, gradients: Gradients, alpha: float, inside: float, start: float) -> Weights:
    """Duchi et al. 2011, figure 1 with a diagonal H, on the full space: x −= η g / √(Σ g²).

    Their δ stands outside the root; Keras has ``inside`` the root, and begins the sum at ``start``.
    """
    total = np.full(w.shape, start)
    path = []
    for g in gradients:
        total = total + g**2
        w = w - alpha * g / np.sqrt(total + inside)
        path.append(w)
    return path


def rmsprop(w: np.ndarray, gradients: Gradients, alpha: float, rho: float, inside: float) -> Weights:
    """Tieleman & Hinton 2012, lecture 6e: MeanSquare = 0.9 MeanSquare + 0.1 g², w −= α g / √MeanSquare.

    They have no ε; Keras has ``inside`` the root.
    """
    mean_square = np.zeros(w.shape)
    path = []
    for g in gradients:
        mean_square = rho * mean_square + (1 - rho) * g**2
        w = w - alpha * g / np.sqrt(mean_square + inside)
        path.append(w)
    return path


def adam(
    w: np.ndarray,
    gradients: Gradients,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    hat: bool,
    decay: float = 0.0,
) -> Weights:
    """Kingma & Ba 2015, algorithm 1 (``hat`` False): θ −= α m̂ / (√v̂ + ε).

    ``hat``: the reordered form above their section 2.1, α_t = α √(1−β₂ᵗ)/(1−β₁ᵗ), θ −= α_t m / (√v + ε̂), as in Keras.
    ``decay``: AdamW, Loshchilov & Hutter 2019, algorithm 2, line 12: η_t λ θ_{t−1} is subtracted too; Keras' rate is
    both their α and their η_t.
    """
    m, v = np.zeros(w.shape), np.zeros(w.shape)
    path = []
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        if hat:
            step = alpha * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps)
        else:
            step = alpha * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        w = w - step - alpha * decay * w
        path.append(w)
    return path


def amsgrad(
    w: np.ndarray, gradients: Gradients, alphas: Sequence[float], beta1: float, beta2: float, eps: float
) -> Weights:
    """Reddi et al. 2018, algorithm 2: v̂ = max(v̂, v), x −= α_t m / √v̂ (ε is Keras'), a rate for each update."""
    m, v, most = np.zeros(w.shape), np.zeros(w.shape), np.zeros(w.shape)
    path = []
    for alpha, g in zip(alphas, gradients, strict=True):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        most = np.maximum(most, v)
        w = w - alpha * m / (np.sqrt(most) + eps)
        path.append(w)
    return path


def adamax(w: np.ndarray, gradients: Gradients, alpha: float, beta1: float, beta2: float, eps: float) -> Weights:
    """Kingma & Ba 2015, algorithm 2: u = max(β₂ u, |g|), θ −= α/(1−β₁ᵗ) m/u. They have no ε; Keras adds it to u."""
    m, u = np.zeros(w.shape), np.zeros(w.shape)
    path = []
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g))
        w = w - alpha / (1 - beta1**t) * m / (u + eps)
        path.append(w)
    return path


def nadam(
    w: np.ndarray,
    gradients: Gradients,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    exponent: float,
    scheduled_m: bool,
    done: int = 0,
) -> Weights:
    """Dozat 2016, algorithm 2: m = μ_t m + (1−μ_t) g, m̂ = μ_{t+1} m/(1−Πμ_{i≤t+1}) + (1−μ_t) g/(1−Πμ_{i≤t}).

    His schedule is μ_t = β₁ (1 − ½ 0.96^(t/250)): ``exponent`` 1/250. Keras has ``exponent`` 1, and m decays with β₁
    itself (``scheduled_m`` False). ``done``: updates counted before the first.
    """
    m, v, product = np.zeros(w.shape), np.zeros(w.shape), 1.0
    path = []
    for t, g in enumerate(gradients, done + 1):
        mu, following = (beta1 * (1 - 0.5 * 0.96 ** (step * exponent)) for step in (t, t + 1))
        product *= mu
        keep = mu if scheduled_m else beta1
        m = keep * m + (1 - keep) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = following * m / (1 - product * following) + (1 - mu) * g / (1 - product)
        w = w - alpha * m_hat / (np.sqrt(v / (1 - beta2**t)) + eps)
        path.append(w)
    return path


def adadelta(w: np.ndarray, gradients: Gradients, alpha: float, rho: float, eps: float) -> Weights:
    """Zeiler 2012, algorithm 1: Δx = −RMS[Δx]/RMS[g] g with RMS[y] = √(E[y²] + ε). He has no rate: ``alpha`` 1."""
    mean_g, mean_dx = np.zeros(w.shape), np.zeros(w.shape)
    path = []
    for g in gradients:
        mean_g = rho * mean_g + (1 - rho) * g**2
        dx = -np.sqrt(mean_dx + eps) / np.sqrt(mean_g + eps) * g
        mean_dx = rho * mean_dx + (1 - rho) * dx**2
        w = w + alpha * dx
        path.append(w)
    return path


def adafactor(w: np.ndarray, gradients: Gradients, most: float) -> Weights:
    """Shazeer & Stern 2018, algorithms 4 (matrices) and 5 (vectors), with their proposed ε₁, ε₂, d and β̂₂.

    ρ_t = min(``most``, 1/√t); ``most`` is 1e-2 in the paper, the learning rate in Keras. R and C are sums, as there.
    """
    eps1, eps2, d = 1e-30, 1e-3, 1.0
    r, c, v = np.zeros(w.shape[:1]), np.zeros(w.shape[1:]), np.zeros(w.shape)
    path = []
    for t, g in enumerate(gradients, 1):
        alpha = max(eps2, float(np.sqrt(np.mean(w**2)))) * min(most, t**-0.5)
        beta2 = 1 - t**-0.8
        squares = g**2 + eps1
        if w.ndim == 2:
            r = beta2 * r + (1 - beta2) * squares.sum(1)
            c = beta2 * c + (1 - beta2) * squares.sum(0)
            v = np.outer(r, c) / r.sum()
        else:
            v = beta2 * v + (1 - beta2) * squares
        u = g / np.sqrt(v)
        w = w - alpha * u / max(1.0, float(np.sqrt(np.mean(u**2))) / d)
        path.append(w)
    return path


def ftrl(
    w: np.ndarray,
    gradients: Gradients,
    alpha: float,
    beta: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    start: float = 0.0,
) -> Weights:
    """McMahan et al. 2013, algorithm 1, per coordinate.

    There n begins at 0 (``start``), and the first weights follow from z = 0, so they are 0; Keras meets whatever
    weights the model has.
    """
    z, n = np.zeros(w.shape), np.full(w.shape, start)
    path = []
    for g in gradients:
        sigma = (np.sqrt(n + g**2) - np.sqrt(n)) / alpha
        z = z + g - sigma * w
        n = n + g**2
        w = np.where(np.abs(z) <= l1, 0.0, -(z - np.sign(z) * l1) / ((beta + np.sqrt(n)) / alpha + l2))
        path.append(w)
    return path


def lion(w: np.ndarray, gradients: Gradients, alpha: float, beta1: float, beta2: float, decay: float = 0.0) -> Weights:
    """Chen et al. 2023, algorithm 2: θ −= η (sign(β₁ m + (1−β₁) g) + λ θ), then m = β₂ m + (1−β₂) g."""
    m = np.zeros(w.shape)
    path = []
    for g in gradients:
        w = w - alpha * (np.sign(beta1 * m + (1 - beta1) * g) + decay * w)
        m = beta2 * m + (1 - beta2) * g
        path.append(w)
    return path


def lamb(
    w: np.ndarray, gradients: Gradients, alpha: float, beta1: float, beta2: float, eps: float, decay: float = 0.0
) -> Weights:
    """You et al. 2020, algorithm 2, φ(z) = z, one layer: x −= η ‖x‖/‖r + λx‖ (r + λx), r = m̂/(√v̂ + ε).

    A layer of zeros takes the plain step, as in their own implementation: the formula would never move it.
    """
    m, v = np.zeros(w.shape), np.zeros(w.shape)
    path = []
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        step = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps) + decay * w
        length = float(np.linalg.norm(w))
        w = w - alpha * (length / float(np.linalg.norm(step)) if length > 0 else 1.0) * step
        path.append(w)
    return path
