"""Descents with known answers: closed forms, the slides' formula, one start alone; then what is measured of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.measurements import landscapes
from descentlab.measurements.landscape_functions import CONDITION_NUMBER, LANDSCAPES, Landscape
from descentlab.measurements.landscapes import (
    BOUND,
    DESCENDING,
    DRAWN_START,
    GRID,
    LANDSCAPE_COLUMNS,
    TRAJECTORY_COLUMNS,
    UPDATES,
    Descent,
    choose_rate,
    draw_starts,
    drawn_updates,
    measure_landscapes,
)
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("device")

STARTS = 40
SINGLE = 1e-6  # relative rounding of single precision over some updates, generously


def box_points(landscape: Landscape, count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(landscape.low, landscape.high, (count, landscape.dimension))


def descent(name: str, optimizer: str, starts: int) -> Descent:
    return Descent(LANDSCAPES[name], OPTIMIZERS[optimizer], starts)


@pytest.fixture(scope="module")
def measured() -> tuple[pd.DataFrame, pd.DataFrame]:
    return measure_landscapes(STARTS, 0)


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_plain_descent_on_the_quadratic_is_the_closed_form(schedule: str) -> None:
    """Each coordinate is multiplied by 1 − ηλ at every update."""
    starts = box_points(LANDSCAPES["quadratic"], 5)
    rates = learning_rates(1e-3, schedule, 50)
    ends = descent("quadratic", "sgd", 5).run(starts, rates)
    factors = np.prod(1 - rates[:, None].astype(np.float64) * [1, CONDITION_NUMBER], axis=0)
    assert ends.points == pytest.approx(starts * factors, rel=1e-5, abs=1e-6)
    assert ends.path[-1].tolist() == ends.points[-1].tolist()
    assert ends.path.shape == (51, 2)


def test_momentum_is_the_slides_formula() -> None:
    """``v = mu * v + alpha * dw; w = w - v`` from one start in the double well, in NumPy."""
    alpha, mu, w, v = 0.01, 0.9, np.array([[1.7]]), np.zeros((1, 1))
    expected = [w]
    for _ in range(30):
        v = mu * v + alpha * (4 * w**3 - 4 * w + 0.3)
        w = w - v
        expected.append(w)
    ends = descent("double_well", "momentum", 1).run(np.array([[1.7]]), learning_rates(alpha, "constant", 30))
    assert ends.path == pytest.approx(np.concatenate(expected), abs=1e-5)
    assert expected[-1] < -0.5 and ends.global_basin.all()  # it has crossed, which plain descent doesn't:
    plain = descent("double_well", "sgd", 1).run(np.array([[1.7]]), learning_rates(alpha, "constant", 300))
    assert plain.points == pytest.approx(np.array([[0.96015]]), abs=1e-4)
    assert not plain.global_basin.any()


@pytest.mark.parametrize("optimizer", DESCENDING)
def test_a_start_alone_moves_as_among_others(optimizer: str) -> None:
    """All these rules act on each number alone. Small steps in a smooth landscape, where rounding doesn't grow."""
    starts = box_points(LANDSCAPES["styblinski_tang"], 20)
    rates = learning_rates(0.003, "linear", 100)
    among = descent("styblinski_tang", optimizer, 20).run(starts, rates)
    alone = descent("styblinski_tang", optimizer, 1)
    for number in (0, 7, 19):
        own = alone.run(starts[number : number + 1], rates)
        assert own.points[0] == pytest.approx(among.points[number], rel=10 * SINGLE)
    assert np.abs(among.points - starts).min() > 1e-4  # all have moved


def test_a_second_run_begins_anew() -> None:
    starts = box_points(LANDSCAPES["rosenbrock"], 4)
    twice = descent("rosenbrock", "adam", 4)
    first, second = (twice.run(starts, learning_rates(0.01, "linear", 50)) for _ in range(2))
    assert first.path.tolist() == second.path.tolist()


def test_a_start_that_diverges_is_the_worst_and_in_no_basin() -> None:
    starts = np.array([[-2.0, 3.0], [1.0, 1.0]])  # the second stands on the minimizer
    ends = descent("rosenbrock", "sgd", 2).run(starts, learning_rates(1.0, "constant", 20))
    assert ends.value.tolist() == [np.inf, 0]
    assert ends.global_basin.tolist() == [False, True]


def test_a_start_that_comes_back_from_beyond_the_bound_has_diverged() -> None:
    """1 − ηλ is −9,999 at the first update and 0 at the second: from 5e10 back onto the minimizer."""
    ends = descent("quadratic", "sgd", 1).run(np.array([[0.0, 1.0]]), np.array([10, 1 / CONDITION_NUMBER]))
    assert ends.points[0] == pytest.approx([0, 0], abs=1e-2)
    assert ends.value.tolist() == [np.inf] and not ends.global_basin.any()


def test_the_chosen_rate_is_the_best_of_the_grid() -> None:
    """By the closed form on the quadratic, in double precision."""
    landscape = LANDSCAPES["quadratic"]
    starts = draw_starts(landscape, 10, 0, "tuning")
    means = {}
    for rate in GRID:
        rates = learning_rates(rate, "linear", UPDATES).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            factors = np.cumprod(1 - rates[:, None] * [1, CONDITION_NUMBER], axis=0)
            values = landscape.above_minimum(starts * factors[:, None])
        means[rate] = values[-1].mean() if (values <= BOUND).all() else np.inf
    assert choose_rate(descent("quadratic", "sgd", 10), starts, "linear") == min(GRID, key=lambda rate: means[rate])


def test_the_grid_is_in_half_decades() -> None:
    assert np.diff(np.log10(GRID)) == pytest.approx(0.5, abs=1e-3)
    assert (GRID[0], GRID[-1]) == (1e-5, 100)


def test_starts_lie_in_the_box_and_follow_their_seed() -> None:
    for landscape in LANDSCAPES.values():
        starts = draw_starts(landscape, 50, 0, "final")
        assert starts.shape == (50, landscape.dimension)
        assert ((starts >= landscape.low) & (starts <= landscape.high)).all()
        assert landscape.above_minimum(box_points(landscape, 1000)).max() < BOUND / 100
        assert draw_starts(landscape, 50, 0, "final").tolist() == starts.tolist()
        for other in (draw_starts(landscape, 50, 1, "final"), draw_starts(landscape, 50, 0, "tuning")):
            assert not np.isin(other, starts).any()


def test_every_start_has_one_row(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    ends, _ = measured
    assert list(ends.columns) == list(LANDSCAPE_COLUMNS)
    assert len(ends) == len(LANDSCAPES) * len(DESCENDING) * STARTS
    for name, group in ends.groupby("landscape"):
        landscape = LANDSCAPES[name]
        pivot = group.pivot(index="start", columns="optimizer", values="start_x")  # raises where a row is there twice
        assert set(pivot) == set(DESCENDING) and pivot.nunique(axis=1).eq(1).all()
        assert group[["start_y", "end_y"]].isna().to_numpy().all() == (landscape.dimension == 1)
        assert group["spurious"].eq(landscape.spurious).all()
        assert group["learning_rate"].isin(GRID).all() and group["constant_learning_rate"].isin(GRID).all()
        group = group[np.isfinite(group["value"])]
        for moment in ("start", "end"):
            points = group[[f"{moment}_x", f"{moment}_y"]].to_numpy()[:, : landscape.dimension]
            column = "start_global" if moment == "start" else "global_basin"
            assert group[column].tolist() == landscape.in_global_basin(points).tolist()
        assert group["value"].to_numpy() == pytest.approx(landscape.above_minimum(points))
        assert group["value"].min() > -1e-12


def test_one_minimum_is_found_by_every_optimizer_from_every_start(
    measured: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    """Where the function is convex; in a bent valley from all starts but the few that a rate which 41 others bore throws out."""
    ends, _ = measured
    valleys = ends[~ends["spurious"]]
    assert set(valleys["landscape"]) == {"rosenbrock", "beale", "quadratic", "rotated_quadratic"}
    convex = valleys["landscape"].isin(["quadratic", "rotated_quadratic"])
    assert valleys.loc[convex, ["global_basin", "constant_rate_basin"]].to_numpy().all()
    assert valleys.groupby(["landscape", "optimizer"])["global_basin"].mean().min() >= 0.9


def test_spurious_minima_catch_some_starts_of_every_optimizer(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    ends, _ = measured
    trapped = ends[ends["spurious"]].groupby(["landscape", "optimizer"])["global_basin"].mean()
    assert len(trapped) == 3 * len(DESCENDING)
    assert trapped.between(0, 0.999).all()
    assert trapped["styblinski_tang"].min() > 0 and trapped["double_well"].min() > 0


def test_plain_descent_has_the_same_end_at_its_own_rate(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    ends, _ = measured
    plain = ends[ends["optimizer"] == "sgd"]
    assert plain["same_rate_basin"].tolist() == plain["global_basin"].tolist()
    assert (ends["same_rate_basin"] != ends["global_basin"]).any()


def test_adagrad_needs_the_valley_along_an_axis(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A rate for each coordinate undoes the condition number along the axes, and not along the diagonal."""
    ends, _ = measured
    median = ends.groupby(["landscape", "optimizer"])["value"].median()
    assert median["quadratic", "adagrad"] < 1e-6 * median["quadratic", "sgd"]
    assert median["rotated_quadratic", "adagrad"] > 1e-3 * median["rotated_quadratic", "sgd"]
    assert median["rotated_quadratic", "sgd"] == pytest.approx(median["quadratic", "sgd"], rel=1)


def test_paths_begin_at_the_drawn_start_and_are_kept_thinly(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, paths = measured
    assert list(paths.columns) == list(TRAJECTORY_COLUMNS)
    assert paths["start"].eq(DRAWN_START).all()
    assert len(drawn_updates()) <= 100 and drawn_updates()[[0, 1, -1]].tolist() == [0, 1, UPDATES]
    for (name, _), path in paths.groupby(["landscape", "optimizer"]):
        landscape = LANDSCAPES[name]
        assert path["update"].tolist() == drawn_updates().tolist()
        points = path[["x", "y"]].to_numpy()[:, : landscape.dimension]
        assert points[0] == pytest.approx(landscape.drawn_start, rel=SINGLE)
        assert path["value"].to_numpy() == pytest.approx(landscape.above_minimum(points))
        assert np.abs(np.diff(points[:5], axis=0)).max() > 0


def test_same_seed_same_tables_other_seed_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landscapes, "LANDSCAPES", {"double_well": LANDSCAPES["double_well"]})
    monkeypatch.setattr(landscapes, "DESCENDING", ("sgd", "momentum"))
    first, again, other = (measure_landscapes(5, seed) for seed in (0, 0, 1))
    for one, two in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert not other[0]["start_x"].isin(first[0]["start_x"]).any()


def test_no_start_is_refused() -> None:
    with pytest.raises(ValueError, match="starts must be at least 1; received 0"):
        measure_landscapes(0, 0)
