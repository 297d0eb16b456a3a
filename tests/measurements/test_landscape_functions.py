"""Known minima and gradients of the landscapes, and their basins against gradient flow in tiny steps."""

from __future__ import annotations

import numpy as np
import pytest

from descentlab.measurements.landscape_functions import BEALE_AT_INFINITY, LANDSCAPES, Landscape

pytestmark = pytest.mark.usefixtures("device")

SEPARABLE = ("double_well", "styblinski_tang", "rastrigin")
named = pytest.mark.parametrize("name", LANDSCAPES)

# Surjanovic & Bingham, Virtual Library of Simulation Experiments (2013): minimizer and minimum, as printed there, but for
# one: they print −39.16599 a dimension for Styblinski & Tang's function, whose formula gives −39.166166 at their minimizer.
PUBLISHED = {
    "rastrigin": ((0, 0), 0),
    "styblinski_tang": ((-2.903534, -2.903534), 2 * -39.166166),
    "rosenbrock": ((1, 1), 0),
    "beale": ((3, 0.5), 0),
}


def central_difference(landscape: Landscape, points: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Gradient at points of shape (n, dimension), in double precision."""
    shifts = step * np.eye(landscape.dimension)
    return np.stack(
        [(landscape.function(points + shift) - landscape.function(points - shift)) / (2 * step) for shift in shifts], -1
    )


def hessian(landscape: Landscape, point: np.ndarray) -> np.ndarray:
    step = 1e-4
    rows = [
        (central_difference(landscape, (point + shift)[None]) - central_difference(landscape, (point - shift)[None]))[0]
        for shift in step * np.eye(landscape.dimension)
    ]
    return np.array(rows) / (2 * step)


def gradient_flow(landscape: Landscape, points: np.ndarray, step: float, updates: int) -> np.ndarray:
    """Where flow in tiny steps leads; no step is longer than 0.01, so that no barrier is leapt."""
    for _ in range(updates):
        move = step * central_difference(landscape, points)
        length = np.linalg.norm(move, axis=-1, keepdims=True)
        points = points - move * np.minimum(1, 0.01 / np.maximum(length, 1e-300))
    return points


def box_points(landscape: Landscape, count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(landscape.low, landscape.high, (count, landscape.dimension))


@named
def test_tensors_and_arrays_have_the_same_values_and_their_gradient(name: str) -> None:
    import tensorflow as tf

    landscape = LANDSCAPES[name]
    points = box_points(landscape, 50)
    tensor = tf.constant(points)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        values = landscape.function(tensor)
    assert values.numpy() == pytest.approx(landscape.function(points), rel=1e-12, abs=1e-12)
    gradient = tape.gradient(values, tensor).numpy()
    assert gradient == pytest.approx(central_difference(landscape, points), rel=1e-5, abs=1e-4)


@named
def test_the_minimizer_is_a_minimum_that_nothing_in_the_box_lies_below(name: str) -> None:
    landscape = LANDSCAPES[name]
    minimizer = np.array(landscape.minimizer)
    assert central_difference(landscape, minimizer[None])[0] == pytest.approx(0, abs=1e-6)
    assert np.linalg.eigvalsh(hessian(landscape, minimizer)).min() > 0.1
    assert landscape.above_minimum(box_points(landscape, 20_000)).min() > 0
    assert landscape.in_global_basin(minimizer[None]).all()


@pytest.mark.parametrize("name", PUBLISHED)
def test_minima_are_as_published(name: str) -> None:
    where, value = PUBLISHED[name]
    assert LANDSCAPES[name].minimizer == pytest.approx(where, abs=1e-6)
    assert LANDSCAPES[name].minimum == pytest.approx(value, abs=2e-6)
    assert LANDSCAPES[name].function(np.array(where, dtype=np.float64)) == pytest.approx(value, abs=2e-6)


def test_the_wells_are_the_roots_of_their_cubic() -> None:
    deep, top, shallow = np.sort(np.roots([4, 0, -4, 0.3]).real)
    landscape = LANDSCAPES["double_well"]
    assert landscape.minimizer == pytest.approx((deep,))
    heights = landscape.above_minimum(np.array([[deep], [top], [shallow]]))
    assert heights[0] == pytest.approx(0, abs=1e-12)
    assert heights[1] > 1.3 and heights[2] == pytest.approx(0.599, abs=1e-3)
    around = np.array([[top - 1e-6], [top + 1e-6], [shallow]])
    assert landscape.in_global_basin(around).tolist() == [True, False, False]


@pytest.mark.parametrize("name", SEPARABLE)
def test_the_edge_of_a_basin_is_a_maximum(name: str) -> None:
    """Found by bisection with the basin test itself, along every coordinate from the minimizer outwards."""
    landscape = LANDSCAPES[name]
    edges = 0
    for axis in range(landscape.dimension):
        for corner in (landscape.low[axis], landscape.high[axis]):
            inside, outside = (np.array(landscape.minimizer) for _ in range(2))
            outside[axis] = corner
            if landscape.in_global_basin(outside[None])[0]:
                continue  # the basin goes on to the edge of the box
            for _ in range(60):
                middle = (inside + outside) / 2
                inside, outside = (middle, outside) if landscape.in_global_basin(middle[None])[0] else (inside, middle)
            assert central_difference(landscape, inside[None])[0, axis] == pytest.approx(0, abs=1e-4)
            assert hessian(landscape, inside)[axis, axis] < 0
            edges += 1
    assert edges == {"double_well": 1, "styblinski_tang": 2, "rastrigin": 4}[name]


@pytest.mark.parametrize(("name", "step"), [("double_well", 0.01), ("styblinski_tang", 0.002), ("rastrigin", 2e-4)])
def test_flow_ends_at_the_minimizer_from_the_global_basin_and_nowhere_else(name: str, step: float) -> None:
    landscape = LANDSCAPES[name]
    points = box_points(landscape, 300)
    if name == "rastrigin":  # where one well in a hundred is the global one: points near it
        points = points / 5
    ends = gradient_flow(landscape, points, step, 3000)
    assert np.abs(central_difference(landscape, ends)).max() < 1e-2
    at_minimizer = np.linalg.norm(ends - landscape.minimizer, axis=-1) < 0.05
    expected = landscape.in_global_basin(points)
    assert at_minimizer.tolist() == expected.tolist()
    assert 10 < expected.sum() < 290


def test_below_the_test_of_beale_there_is_one_minimum_only() -> None:
    """The best x for a y, and so every stationary point, in closed form; then the least value as x runs away."""
    y = np.polynomial.Polynomial([0, 1])
    c, a = (1.5, 2.25, 2.625), (1 - y, 1 - y**2, 1 - y**3)
    top, bottom = sum(ci * ai for ci, ai in zip(c, a, strict=True)), sum(ai * ai for ai in a)
    roots = (top * (2 * top.deriv() * bottom - top * bottom.deriv())).roots()
    real = roots[np.abs(roots.imag) < 1e-9].real
    real = real[np.abs(real - 1) > 0.01]  # a root of top and bottom alike: x runs away there
    points = np.column_stack([top(real) / bottom(real), real])
    landscape = LANDSCAPES["beale"]
    assert central_difference(landscape, points) == pytest.approx(0, abs=1e-6)
    values = np.sort(landscape.above_minimum(np.vstack([points, [[0, 1]]])))
    assert values == pytest.approx([0, 9.8645, 14.203125], abs=1e-4)
    assert pytest.approx(14.203125 - 13.875**2 / 14) == BEALE_AT_INFINITY
    far = landscape.above_minimum(np.array([[x, 1 - 13.875 / 14 / x] for x in (1e3, -1e3, 1e6)]))
    assert far == pytest.approx(BEALE_AT_INFINITY, rel=0.02)


@pytest.mark.parametrize(("name", "step"), [("beale", 0.002), ("rosenbrock", 5e-4)])
def test_flow_from_the_whole_box_comes_into_the_basin_of_a_bent_valley(name: str, step: float) -> None:
    landscape = LANDSCAPES[name]
    axes = [np.linspace(low, high, 9) for low, high in zip(landscape.low, landscape.high, strict=True)]
    ends = gradient_flow(landscape, np.stack(np.meshgrid(*axes), -1).reshape(-1, 2), step, 6000)
    assert landscape.in_global_basin(ends).all()
    assert landscape.above_minimum(ends).max() < 0.45


def test_what_is_not_finite_is_in_no_basin() -> None:
    for landscape in LANDSCAPES.values():
        points = np.full((3, landscape.dimension), [[np.nan], [np.inf], [-np.inf]])
        assert not landscape.in_global_basin(points).any()
