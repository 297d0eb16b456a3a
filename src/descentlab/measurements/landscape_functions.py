"""Known landscapes in one and two dimensions: three with spurious minima, four valleys with one minimum.

Each function is written once, with operators that work on both NumPy arrays and TensorFlow tensors, so the function that is
descended is the one that is drawn and tested. Minima are as in Surjanovic & Bingham, Virtual Library of Simulation
Experiments (2013).

**The global basin** of a landscape is the set of points from which gradient flow leads to the global minimizer:

- where the function is a sum over the coordinates (Rastrigin, Styblinski & Tang, the double well), flow moves each
  coordinate alone, so the basin is known exactly: every coordinate between the two stationary maxima next to the minimizer;
- where the only stationary point is the minimizer and the function grows in all directions (Rosenbrock, the quadratics),
  the basin is everything;
- Beale's function has one minimum, but also falls toward 0.452 along y → 1 and |x| → ∞, and toward 7.31 along
  y → ±∞. Its other stationary points lie at 9.86 and 14.2. So below 0.452 flow can only end in the minimum, and that is the
  test: it holds for no point outside the basin, and for every point that has come near the minimum.

Nothing here loads TensorFlow, so that a report can draw the landscapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

CONDITION_NUMBER = 1000.0
TILT = 0.3  # of the double well

# The stationary points that bound basins: of Rastrigin's function next to the origin, 2x + 20π sin 2πx = 0; of Styblinski &
# Tang's, 4x³ − 32x + 5 = 0; of the double well, 4x³ − 4x + 0.3 = 0.
RASTRIGIN_TOP = 0.5025460365546747
STYBLINSKI_TANG_MINIMIZER, STYBLINSKI_TANG_TOP = -2.9035340277711783, 0.15673125678034014
DOUBLE_WELL_MINIMIZER, DOUBLE_WELL_TOP = -1.0355787140888542, 0.0754291585697482
BEALE_AT_INFINITY = 0.4520089285714288  # the least value that Beale's function tends to as |x| grows


@dataclass(frozen=True)
class Landscape:
    """One function of one or two coordinates, lower is better.

    Attributes:
        name: its rows in the tables.
        title: its name in a sentence.
        function: values of shape (...) at points of shape (..., dimension), arrays or tensors.
        low, high: corners of the box that starts are drawn from, uniformly.
        minimizer: where the global minimum lies.
        drawn_start: the start whose path is drawn; it is not among those that are counted.
        spurious: whether it has local minima besides the global one.
        basin: whether gradient flow from points of shape (n, dimension) leads to the minimizer; see the module.
    """

    name: str
    title: str
    function: Callable[[Any], Any]
    low: tuple[float, ...]
    high: tuple[float, ...]
    minimizer: tuple[float, ...]
    drawn_start: tuple[float, ...]
    spurious: bool
    basin: Callable[[np.ndarray], np.ndarray]

    @property
    def dimension(self) -> int:
        """Number of coordinates, 1 or 2."""
        return len(self.low)

    @property
    def minimum(self) -> float:
        """The least value of the function."""
        return float(self.function(np.array(self.minimizer)))

    def above_minimum(self, points: np.ndarray) -> np.ndarray:
        """Value minus global minimum in double precision, shape (n,), for points of shape (n, dimension)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.function(np.asarray(points, dtype=np.float64)) - self.minimum)

    def in_global_basin(self, points: np.ndarray) -> np.ndarray:
        """Whether each of ``points``, shape (n, dimension), lies in the global basin; False where not finite."""
        points = np.asarray(points, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.isfinite(points).all(axis=-1) & self.basin(points))


def cosine(values: Any) -> Any:
    """The cosine of an array or a tensor: the only function here that operators can't express."""
    if isinstance(values, np.ndarray | np.generic):
        return np.cos(values)
    from keras import ops

    return ops.cos(values)


def rastrigin(points: Any) -> Any:
    """10 d + Σ x² − 10 cos 2πx, in two dimensions; 0 at the origin (Rastrigin 1974; Mühlenbein et al. 1991)."""
    x, y = points[..., 0], points[..., 1]
    return 20 + x**2 - 10 * cosine(2 * math.pi * x) + y**2 - 10 * cosine(2 * math.pi * y)


def styblinski_tang(points: Any) -> Any:
    """½ Σ x⁴ − 16x² + 5x, in two dimensions; −39.16617 per dimension at −2.903534 (Styblinski & Tang 1990).

    Often printed as −39.16599, which is not the formula's value at that point.
    """
    x, y = points[..., 0], points[..., 1]
    return (x**4 - 16 * x**2 + 5 * x + y**4 - 16 * y**2 + 5 * y) / 2


def double_well(points: Any) -> Any:
    """(x² − 1)² + 0.3x: a deep well at −1.036 and a shallow one at 0.960 that lies 0.6 higher."""
    x = points[..., 0]
    return (x**2 - 1) ** 2 + TILT * x


def rosenbrock(points: Any) -> Any:
    """(1 − x)² + 100 (y − x²)²: a bent valley; 0 at (1, 1) (Rosenbrock 1960)."""
    x, y = points[..., 0], points[..., 1]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def beale(points: Any) -> Any:
    """Σ over k = 1, 2, 3 of (c_k − x + x y^k)², c = (1.5, 2.25, 2.625); 0 at (3, 0.5) (Beale 1958)."""
    x, y = points[..., 0], points[..., 1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def quadratic(points: Any) -> Any:
    """½ (x² + 1000 y²): a straight valley along an axis, condition number 1000; 0 at the origin."""
    x, y = points[..., 0], points[..., 1]
    return (x**2 + CONDITION_NUMBER * y**2) / 2


def rotated_quadratic(points: Any) -> Any:
    """The same valley along the diagonal, where separate rates for the coordinates don't help."""
    x, y = points[..., 0], points[..., 1]
    return ((x + y) ** 2 + CONDITION_NUMBER * (x - y) ** 2) / 4


def between(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """The basin of a sum over the coordinates: each of them between the same two stationary maxima."""
    return lambda points: np.asarray(((points > low) & (points < high)).all(axis=-1))


def everywhere(points: np.ndarray) -> np.ndarray:
    """The basin of a function that grows in all directions from its only stationary point."""
    return np.ones(points.shape[:-1], dtype=bool)


_ENTRIES = (
    Landscape(
        "double_well",
        "double well",
        double_well,
        (-2.0,),
        (2.0,),
        (DOUBLE_WELL_MINIMIZER,),
        (1.7,),
        True,
        between(-math.inf, DOUBLE_WELL_TOP),
    ),
    Landscape(
        "styblinski_tang",
        "Styblinski–Tang",
        styblinski_tang,
        (-5.0, -5.0),
        (5.0, 5.0),
        (STYBLINSKI_TANG_MINIMIZER,) * 2,
        (4.5, -0.5),
        True,
        between(-math.inf, STYBLINSKI_TANG_TOP),
    ),
    Landscape(
        "rastrigin",
        "Rastrigin",
        rastrigin,
        (-5.12, -5.12),
        (5.12, 5.12),
        (0.0, 0.0),
        (3.3, -2.4),
        True,
        between(-RASTRIGIN_TOP, RASTRIGIN_TOP),
    ),
    # The starts of Rosenbrock's and Beale's functions are the usual ones (Moré, Garbow & Hillstrom 1981, problems 1 and
    # 5). From every start in these boxes gradient flow leads to the minimum; from all of [-4.5, 4.5]², the usual box of
    # Beale's function, it doesn't.
    Landscape(
        "rosenbrock", "Rosenbrock", rosenbrock, (-2.0, -1.0), (2.0, 3.0), (1.0, 1.0), (-1.2, 1.0), False, everywhere
    ),
    Landscape(
        "beale",
        "Beale",
        beale,
        (0.5, -1.0),
        (4.0, 1.0),
        (3.0, 0.5),
        (1.0, 1.0),
        False,
        lambda points: beale(points) < BEALE_AT_INFINITY,
    ),
    Landscape(
        "quadratic", "quadratic", quadratic, (-2.0, -2.0), (2.0, 2.0), (0.0, 0.0), (-1.8, 1.2), False, everywhere
    ),
    Landscape(
        "rotated_quadratic",
        "rotated quadratic",
        rotated_quadratic,
        (-2.0, -2.0),
        (2.0, 2.0),
        (0.0, 0.0),
        (-1.8, -0.4),
        False,
        everywhere,
    ),
)

LANDSCAPES: Mapping[str, Landscape] = {landscape.name: landscape for landscape in _ENTRIES}
