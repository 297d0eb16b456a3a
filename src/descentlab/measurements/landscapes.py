"""Whether momentum escapes spurious minima, and which optimizers follow a valley, on known landscapes from many starts.

Every optimizer of the slides descends every landscape from the same starts, with full gradients. All starts descend at
once, as one variable of shape (starts, dimension) under the sum of their values: these five rules act on each element
separately, so each start moves as it would by itself. :mod:`~descentlab.measurements.landscape_functions` defines the global
basin.

**Learning rates.** Every (landscape, optimizer) chooses from the same 15 rates, 1e-5 to 100 in half-decades: none has a
grid centered for it. The best rate has the lowest mean final value over other starts, drawn from their own stream. A start
that is ever above 1e6 has diverged and counts as the worst, so a rate at which any start diverges loses to every rate at
which none does. Every run has the same 1,000 updates, and its rate decays linearly to zero as in the tuned arm
(docs/protocol.md, "Arms"): a start then ends where it came to rest, not where the last update happened to move it.

**What the claim needs.** A rate chosen this way may be large enough for plain descent to jump over barriers and settle as
the rate decays. That is not an error of the test but a way to escape without momentum. So each row also says where its
start ended under two other choices: with plain descent's chosen rate, as the slides change only ``momentum=0.9`` (which
makes steps up to ten times as long), and with a constant rate, tuned in the same way. ``start_global`` says where gradient
flow would end, which escapes nothing: the share to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from descentlab.measurements.landscape_functions import LANDSCAPES, Landscape
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.build import build
from descentlab.optimizers.roles import MINI_BATCH, PLAIN
from descentlab.optimizers.schedules import learning_rates
from descentlab.optimizers.table import OPTIMIZERS, OptimizerEntry
from descentlab.problems.random_streams import stream_generator
from descentlab.storage.tables import Column, check_table
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.stateless_optimizer import state_variables

DESCENDING = MINI_BATCH  # plain descent first: others are given its rate too
GRID = tuple(float(f"{10 ** (step / 2):.3g}") for step in range(-10, 5))
UPDATES = 1000
BOUND = 1e6  # a start that is ever above it has diverged, even if it returns as the rate decays; none begins this high
DRAWN_START = -1
FIRST_DRAWN, LATER_DRAWN = 40, 60  # stored updates of a path: the first, then evenly on a logarithmic scale

LANDSCAPE_COLUMNS: dict[str, Column] = {
    "landscape": Column("str", "", "", "name of the function"),
    "spurious": Column("bool", "", "", "whether it has local minima besides the global one"),
    "optimizer": Column("str", "", "", "optimizer; sgd is plain gradient descent"),
    "start": Column("int64", "", "", "number of the start; the same for all optimizers"),
    "learning_rate": Column("float64", "", "", "initial rate, chosen on other starts; it decays linearly to zero"),
    "updates": Column("int64", "updates", "", "budget"),
    "start_x": Column("float64", "", "", "where it begins"),
    "start_y": Column("float64", "", "", "the same; NaN in one dimension"),
    "start_global": Column("bool", "", "", "whether it begins in the global basin, where gradient flow would stay"),
    "end_x": Column("float64", "", "", "where it ends"),
    "end_y": Column("float64", "", "", "the same; NaN in one dimension"),
    "value": Column("float64", "value", "lower", "final value minus the global minimum; inf if it diverged"),
    "global_basin": Column("bool", "", "", "whether it ends in the global basin; False if it diverged"),
    "same_rate_basin": Column("bool", "", "", "the same with the rate that was chosen for plain descent"),
    "constant_learning_rate": Column("float64", "", "", "constant rate, chosen in the same way"),
    "constant_rate_basin": Column("bool", "", "", "whether it ends in the global basin with the constant rate"),
}

TRAJECTORY_COLUMNS: dict[str, Column] = {
    "landscape": Column("str", "", "", "name of the function"),
    "optimizer": Column("str", "", "", "optimizer; sgd is plain gradient descent"),
    "start": Column("int64", "", "", "-1: a separate start, not among those that are counted"),
    "update": Column("int64", "updates", "", "updates done"),
    "x": Column("float64", "", "", "where it is"),
    "y": Column("float64", "", "", "the same; NaN in one dimension"),
    "value": Column("float64", "value", "lower", "value minus the global minimum"),
}


@dataclass(frozen=True)
class Ends:
    """Where all starts of one run ended.

    Attributes:
        points: float32 (starts, dimension).
        path: float32 (updates + 1, dimension): where the last of the starts was after each update.
        value: value minus global minimum, float64 (starts,); inf for a start that diverged.
        global_basin: bool (starts,); False for a start that diverged.
    """

    points: np.ndarray
    path: np.ndarray
    value: np.ndarray
    global_basin: np.ndarray


class Descent:
    """One optimizer on one landscape, compiled once for the numbers of starts and updates of the first run.

    Args:
        landscape: what is descended.
        entry: the optimizer.
        starts: how many descend together.
    """

    def __init__(self, landscape: Landscape, entry: OptimizerEntry, starts: int) -> None:
        import keras

        self.landscape = landscape
        self._point = keras.Variable(np.zeros((starts, landscape.dimension), dtype=np.float32))
        self._optimizer = build(entry, Arm.TUNED, GRID[0])
        self._optimizer.build([self._point])
        self._state = state_variables(self._optimizer)
        self._initial_state = [np.asarray(variable).copy() for variable in self._state]
        self._descend = self._compile()

    def _compile(self) -> Any:
        import tensorflow as tf

        point, optimizer, function = self._point, self._optimizer, self.landscape.function

        # Without autograph, which would convert Keras' own code before it is traced.
        @tf.function(jit_compile=True, autograph=False)
        def descend(rates: Any) -> tuple[Any, Any, Any]:
            updates = rates.shape[0]
            path = tf.TensorArray(tf.float32, size=updates + 1, element_shape=point.shape[1:])

            def body(done: Any, bounded: Any, path: Any) -> tuple[Any, Any, Any]:
                optimizer.learning_rate.assign(rates[done])
                with tf.GradientTape() as tape:
                    values = function(point.value)
                    total = tf.reduce_sum(values)
                optimizer.apply(tape.gradient(total, [point]), [point])
                return done + 1, bounded & (values <= BOUND), path.write(done + 1, point.value[-1])

            start = (tf.constant(0), tf.fill(point.shape[:1], True), path.write(0, point.value[-1]))
            _, bounded, path = tf.while_loop(lambda done, *_: done < updates, body, start)
            return point.value, bounded & (function(point.value) <= BOUND), path.stack()

        return descend

    def run(self, starts: np.ndarray, rates: np.ndarray) -> Ends:
        """Descend from ``starts``, shape (starts, dimension), with the rate of each update, shape (updates,)."""
        import tensorflow as tf

        self._point.assign(starts.astype(np.float32))
        for variable, value in zip(self._state, self._initial_state, strict=True):
            variable.assign(value)
        points, bounded, path = (np.asarray(tensor) for tensor in self._descend(tf.constant(rates, tf.float32)))
        value = np.where(bounded, self.landscape.above_minimum(points), np.inf)
        return Ends(points, path, value, self.landscape.in_global_basin(points) & bounded)


def draw_starts(landscape: Landscape, count: int, seed: int, purpose: str) -> np.ndarray:
    """``count`` points, uniform in the landscape's box, shape (count, dimension).

    Args:
        purpose: ``final``, or ``tuning`` for those that rates are chosen on; each has its own stream.
    """
    generator = stream_generator(f"{landscape.name} {purpose}", seed, "weights")
    return generator.uniform(landscape.low, landscape.high, (count, landscape.dimension))


def choose_rate(descent: Descent, starts: np.ndarray, schedule: str) -> float:
    """The rate of GRID with the lowest mean final value over ``starts``; the smallest if several tie."""
    means = {rate: descent.run(starts, learning_rates(rate, schedule, UPDATES)).value.mean() for rate in GRID}
    return min(GRID, key=lambda rate: means[rate])


def coordinates(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The x and y of points of shape (n, dimension); y is NaN in one dimension."""
    return points[:, 0], points[:, 1] if points.shape[1] > 1 else np.full(len(points), np.nan)


def drawn_updates() -> np.ndarray:
    """The updates at which a path is stored, ascending from 0 to the budget, at most 100."""
    return np.unique(np.rint([*range(FIRST_DRAWN), *np.geomspace(FIRST_DRAWN, UPDATES, LATER_DRAWN)]).astype(int))


def measure_landscapes(starts: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Where every optimizer ends on every landscape, and one path of each.

    Args:
        starts: number of starts on each landscape, and of others to choose rates on.
        seed: seed of all of them.

    Returns:
        A table of LANDSCAPE_COLUMNS, one row per (landscape, optimizer, start), and one of TRAJECTORY_COLUMNS: the path from
        the landscape's drawn start at some of its updates.

    Raises:
        ValueError: ``starts`` is below 1.
    """
    if starts < 1:
        raise ValueError(f"starts must be at least 1; received {starts}")
    configure_device()
    path_updates = drawn_updates()
    ends, paths = [], []
    for landscape in LANDSCAPES.values():
        drawn = [landscape.drawn_start]
        final = np.concatenate([draw_starts(landscape, starts, seed, "final"), drawn])
        tuning = draw_starts(
            landscape, starts + 1, seed, "tuning"
        )  # as many as descend together, for the compiled loop
        begin_x, begin_y = coordinates(final[:-1])
        begin_global = landscape.in_global_basin(final[:-1])
        plain_rate = np.nan
        for name in DESCENDING:
            descent = Descent(landscape, OPTIMIZERS[name], starts + 1)
            rate, constant_rate = (choose_rate(descent, tuning, schedule) for schedule in ("linear", "constant"))
            plain_rate = rate if name == PLAIN else plain_rate
            tuned, same_rate, constant = (
                descent.run(final, learning_rates(initial, schedule, UPDATES))
                for initial, schedule in ((rate, "linear"), (plain_rate, "linear"), (constant_rate, "constant"))
            )
            end_x, end_y = coordinates(tuned.points[:-1])
            ends.append(
                pd.DataFrame(
                    {
                        "landscape": landscape.name,
                        "spurious": landscape.spurious,
                        "optimizer": name,
                        "start": np.arange(starts),
                        "learning_rate": rate,
                        "updates": UPDATES,
                        "start_x": begin_x,
                        "start_y": begin_y,
                        "start_global": begin_global,
                        "end_x": end_x,
                        "end_y": end_y,
                        "value": tuned.value[:-1],
                        "global_basin": tuned.global_basin[:-1],
                        "same_rate_basin": same_rate.global_basin[:-1],
                        "constant_learning_rate": constant_rate,
                        "constant_rate_basin": constant.global_basin[:-1],
                    }
                )
            )
            path = tuned.path[path_updates]
            x, y = coordinates(path)
            paths.append(
                pd.DataFrame(
                    {
                        "landscape": landscape.name,
                        "optimizer": name,
                        "start": DRAWN_START,
                        "update": path_updates,
                        "x": x,
                        "y": y,
                        "value": landscape.above_minimum(path),
                    }
                )
            )
    return (
        check_table(pd.concat(ends, ignore_index=True), LANDSCAPE_COLUMNS, "landscapes"),
        check_table(pd.concat(paths, ignore_index=True), TRAJECTORY_COLUMNS, "trajectories"),
    )
