"""Paths on known landscapes: every optimizer from one start, on contours or along the axis, and a strip of stills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from descentlab.i18n.wording import counted, joined, message, words
from descentlab.measurements.landscape_functions import LANDSCAPES, Landscape
from descentlab.optimizers.roles import MOMENTUM, PLAIN
from descentlab.report.blocks import Figure, distinct, number
from descentlab.report.drawing import finish, label_ends
from descentlab.report.plotting import INK, label_room, new_figure, optimizer_color, optimizer_marker
from descentlab.report.sections.landscape_words import descent_title, height_text, landscape_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRIP = "double_well"
STRIP_OPTIMIZERS = (PLAIN, MOMENTUM)
STILLS = (0, 2, 4, 8, 16)  # updates; the last one recorded is added
BACKDROP = "#8a8a8a"  # of contours and curves: mere decoration, on light and dark pages
GRID_POINTS = 101
CONTOURS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.95)  # shares of the box below each line
COARSENESS = 0.3  # distance that a drawn contour may keep from the true one, in points
LEAP = 0.25  # of the panel: longer steps are faint, or a path that jumps around would hide the others


DEEP, SHALLOW = message("deep well"), message("shallow well")


def path_ends(paths: pd.DataFrame) -> pd.DataFrame:
    """The last point of each (landscape, optimizer), and whether it lies in the global basin."""
    last = paths.sort_values("update", kind="stable").groupby(["landscape", "optimizer"], sort=False).tail(1).copy()
    last["global_basin"] = [in_basin(row["landscape"], row["x"], row["y"]) for row in last.to_dict("records")]
    return last


def in_basin(name: str, x: float, y: float) -> bool:
    """Whether a point lies in the global basin of the landscape ``name``; ``y`` is ignored in one dimension."""
    landscape = LANDSCAPES[name]
    return bool(landscape.in_global_basin(np.array([[x, y][: landscape.dimension]]))[0])


def path_figure(paths: pd.DataFrame, names: Sequence[str], identity: str, takeaway: str) -> Figure:
    """The paths of all optimizers from the drawn start, one panel per landscape.

    Args:
        paths: columns of TRAJECTORY_COLUMNS.
        names: the landscapes, from left to right.
    """
    optimizers = distinct(paths["optimizer"])
    # A path that diverged is drawn as long as it is finite.
    finite = paths[paths["landscape"].isin(names) & np.isfinite(paths["value"])]
    figure, axes = new_figure(len(names), 2.3, 2.3, right=label_room(optimizers), gap=0.5)
    ends: dict[str, tuple[float, float]] = {}
    for panel, name in zip(axes, names, strict=True):
        landscape = LANDSCAPES[name]
        on_landscape = finite[finite["landscape"] == name]
        ends = (draw_on_contours if landscape.dimension == 2 else draw_along_axis)(panel, landscape, on_landscape)
        panel.set_title(landscape_title(name))
    label_ends(axes[-1], ends, marked=True)
    flat = [name for name in names if LANDSCAPES[name].dimension == 1]
    caption = words(
        "One path of each optimizer (n = 1, no interval) over {updates}, each with a rate that was chosen on other starts and "
        "that decays to zero. The ring is the start, which is not among those counted; the cross is the global minimum; the "
        "marks are the ends. Later updates are drawn ever more sparsely, and steps over more than a quarter of the panel are "
        "faint. Gray lines join points of equal height.",
        updates=counted(int(finite["update"].max()), "{n} update", "{n} updates"),
    )
    if flat:
        along = words(
            "In one dimension ({landscapes}): a path's position (horizontal) after each update (downward, on a logarithmic "
            "scale), with the global basin in gray.",
            landscapes=joined([landscape_title(name) for name in flat]),
        )
        caption = f"{caption} {along}"
    return finish(figure, identity, takeaway=takeaway, caption=caption, data=finite)


def draw_on_contours(axes: Axes, landscape: Landscape, paths: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Draw the contours of a two-dimensional landscape, and the paths on them.

    Returns:
        The end of each optimizer's path, in data coordinates.
    """
    (low_x, low_y), (high_x, high_y) = landscape.low, landscape.high
    x, y = np.linspace(low_x, high_x, GRID_POINTS), np.linspace(low_y, high_y, GRID_POINTS)
    heights = landscape.above_minimum(np.stack(np.meshgrid(x, y), axis=-1))
    draw_contours(axes, x, y, heights)
    room_x, room_y = 0.04 * (high_x - low_x), 0.04 * (high_y - low_y)
    axes.set_xlim(low_x - room_x, high_x + room_x)
    axes.set_ylim(low_y - room_y, high_y + room_y)
    ends = {}
    for name, path in paths.groupby("optimizer", sort=False):
        ends[str(name)] = draw_path(axes, str(name), path["x"].to_numpy(), path["y"].to_numpy())
    axes.plot(*landscape.drawn_start, marker="o", markersize=7, color=INK, markerfacecolor="none", zorder=5)
    axes.plot(*landscape.minimizer, marker="+", markersize=9, color=INK, markeredgewidth=1.4, zorder=5)
    axes.grid(visible=False)
    return ends


def draw_contours(axes: Axes, x: np.ndarray, y: np.ndarray, heights: np.ndarray) -> None:
    """Draw contour lines, each level as one line with gaps in it: a fraction of the bytes of many lines.

    Args:
        x, y: shapes (nx,) and (ny,).
        heights: shape (ny, nx).
    """
    contours = axes.contour(x, y, heights, levels=np.quantile(heights, CONTOURS))
    levels = contours.allsegs
    contours.remove()
    gap = np.full((1, 2), np.nan)
    for pieces in levels:
        points = np.concatenate([part for piece in pieces for part in (piece, gap)]) if pieces else gap
        (line,) = axes.plot(*points.T, color=BACKDROP, linewidth=0.5, alpha=0.7)
        line.get_path().simplify_threshold = COARSENESS


def draw_along_axis(axes: Axes, landscape: Landscape, paths: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Draw one-dimensional paths: position across, updates downward on a logarithmic axis.

    Returns:
        The end of each optimizer's path, in data coordinates.
    """
    low, high = landscape.low[0], landscape.high[0]
    last = float(paths["update"].max()) + 1
    axes.set_xlim(low, high)
    axes.set_ylim(last * 1.3, 0.8)
    axes.set_yscale("log")
    ticks = [tick for tick in (0, 10, 100, 1000) if tick < last]
    axes.set_yticks([tick + 1 for tick in ticks], labels=[str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylabel(words("updates"))
    axes.grid(visible=False)
    x = np.linspace(low, high, 401)
    inside = x[landscape.in_global_basin(x[:, None])]
    axes.axvspan(inside.min(), inside.max(), color=BACKDROP, alpha=0.15, linewidth=0)
    ends = {}
    for name, path in paths.groupby("optimizer", sort=False):
        ends[str(name)] = draw_path(axes, str(name), path["x"].to_numpy(), path["update"].to_numpy() + 1.0)
    axes.plot(landscape.drawn_start[0], 1, marker="o", markersize=7, color=INK, markerfacecolor="none", zorder=5)
    axes.plot(landscape.minimizer[0], last, marker="+", markersize=9, color=INK, markeredgewidth=1.4, zorder=5)
    return ends


def draw_path(axes: Axes, name: str, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Draw a path on axes whose limits are set: a line, faint where it leaps, and a mark at its end.

    Args:
        x, y: shape (n,), in data coordinates.

    Returns:
        The end, in data coordinates.
    """
    color = optimizer_color(name)
    points = np.column_stack([x, y]).astype(np.float64)
    places = axes.transAxes.inverted().transform(axes.transData.transform(points))
    gap = np.full((1, 2), np.nan)
    joined_steps, leaps = [points[:1]], [gap]
    for before, after, length in zip(points[:-1], points[1:], np.hypot(*np.diff(places, axis=0).T), strict=True):
        joined_steps += [gap, after[None]] if length > LEAP else [after[None]]
        leaps += [before[None], after[None], gap] if length > LEAP else []
    axes.plot(
        *np.concatenate(joined_steps).T, color=color, linewidth=1.2, alpha=0.9, zorder=3, gid=f"linename-{name}--"
    )
    axes.plot(*np.concatenate(leaps).T, color=color, linewidth=0.5, alpha=0.4, zorder=2)
    axes.plot(x[-1], y[-1], marker=optimizer_marker(name), markersize=5.5, color=color, linestyle="none", zorder=4)
    return float(x[-1]), float(y[-1])


def basin_words(paths: pd.DataFrame, names: Sequence[str]) -> str:
    """Whose path from the drawn start ends in the global basin, landscape by landscape."""
    ends = path_ends(paths)
    parts = []
    for name in names:
        on_landscape, where = ends[ends["landscape"] == name], landscape_title(name)
        arrived = [descent_title(o) for o in on_landscape.loc[on_landscape["global_basin"], "optimizer"]]
        parts.append(
            words("{who} on {where}", who=joined(arrived), where=where)
            if arrived
            else words("none on {where}", where=where)
        )
    return words(
        "Paths, from one start in each landscape, that end in the global basin: {parts}", parts="; ".join(parts)
    )


def height_words(paths: pd.DataFrame, names: Sequence[str]) -> str:
    """Whose path from the drawn start ends lowest and whose highest, valley by valley."""
    ends = path_ends(paths)
    parts = []
    for name in names:
        on_landscape = ends[ends["landscape"] == name].sort_values("value", kind="stable")
        first, last = on_landscape.iloc[0], on_landscape.iloc[-1]
        parts.append(
            words(
                "on {where}, {first} ends lowest ({low} above the minimum), {last} highest ({high})",
                where=landscape_title(name),
                first=descent_title(first["optimizer"]),
                low=height_text(first["value"]),
                last=descent_title(last["optimizer"]),
                high=height_text(last["value"]),
            )
        )
    return words("From one start each, {parts}", parts="; ".join(parts))


def strip_figure(paths: pd.DataFrame) -> Figure | None:
    """Stills of plain descent and of momentum in the double well; None unless both have a path."""
    strip = paths[(paths["landscape"] == STRIP) & paths["optimizer"].isin(STRIP_OPTIMIZERS)]
    if set(strip["optimizer"]) != set(STRIP_OPTIMIZERS):
        return None
    landscape = LANDSCAPES[STRIP]
    updates = set(strip["update"])
    last = max(updates)
    stills = [update for update in STILLS if update in updates and update < last] + [last]
    figure, axes = new_figure(
        len(stills), 1.35, 1.5, left=0.5, right=label_room(STRIP_OPTIMIZERS), gap=0.12, share_y=True, share_x=True
    )
    for panel, update in zip(axes, stills, strict=True):
        ends = draw_still(panel, landscape, strip[strip["update"] <= update])
        panel.set_title(words("start") if update == 0 else counted(update, "{n} update", "{n} updates"))
    axes[0].set_ylabel(words("height"))
    label_ends(axes[-1], ends, marked=True)
    takeaway = crossing_words(strip)
    caption = words(
        "The double well, (x² − 1)² + 0.3x minus its least value, the deep well on the left: one start (n = 1, no interval), "
        "chosen to show what momentum can do; the figure of shares counts starts that were not chosen. Each optimizer has its "
        "own chosen rate, which decays to zero. Faint marks show where it was before."
    )
    return finish(figure, "landscape-strip", takeaway=takeaway, caption=caption, data=strip)


def draw_still(axes: Axes, landscape: Landscape, paths: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Draw the curve with each optimizer's last position, and faintly those before it.

    Returns:
        Each optimizer's last position, in data coordinates.
    """
    x = np.linspace(landscape.low[0], landscape.high[0], 81)
    start = float(landscape.above_minimum(np.array([landscape.drawn_start]))[0])
    axes.plot(x, landscape.above_minimum(x[:, None]), color=BACKDROP, linewidth=1.2)
    places = {}
    for name, path in paths.groupby("optimizer", sort=False):
        color, marker = optimizer_color(str(name)), optimizer_marker(str(name))
        before = (
            path.iloc[:-1].assign(place=path["x"].round(2)).drop_duplicates("place")
        )  # one mark for all updates at rest
        axes.plot(
            before["x"], before["value"], marker=marker, markersize=2.5, alpha=0.35, color=color, linestyle="none"
        )
        places[str(name)] = (float(path["x"].iloc[-1]), float(path["value"].iloc[-1]))
        axes.plot(*places[str(name)], marker=marker, markersize=6, color=color, linestyle="none", zorder=4)
    axes.set_ylim(-0.3, max(1.5, 1.1 * start))
    axes.set_xticks([-1, 0, 1], labels=["−1", "0", "1"])
    axes.grid(visible=False)
    return places


class Crossing(NamedTuple):
    """Where a path of the strip ends.

    Attributes:
        deep: whether it ends in the deep well.
        since: from which update on it stays there; None where it never was on the other side.
    """

    deep: bool
    since: int | None


def find_crossings(paths: pd.DataFrame) -> dict[str, Crossing]:
    """Where plain descent and momentum end from the strip's start."""
    crossings = {}
    for name in STRIP_OPTIMIZERS:
        path = paths[paths["optimizer"] == name].sort_values("update")
        inside = np.array([in_basin(STRIP, x, np.nan) for x in path["x"]])
        elsewhere = np.flatnonzero(inside != inside[-1])
        since = int(path["update"].iloc[elsewhere[-1] + 1]) if len(elsewhere) else None
        crossings[name] = Crossing(bool(inside[-1]), since)
    return crossings


def crossing_words(paths: pd.DataFrame) -> str:
    """Where plain descent and momentum end, and from which update on they stay there."""
    parts = []
    for name, (deep, since) in find_crossings(paths).items():
        fields = {"who": descent_title(name), "well": words(DEEP if deep else SHALLOW)}
        parts.append(
            words("{who} stays on the side of the {well}", **fields)
            if since is None
            else words("{who} ends in the {well}, where it stays from update {since} on", since=since, **fields)
        )
    start = float(paths.sort_values("update", kind="stable")["x"].iloc[0])
    return words("From x = {x}, {paths}", x=number(start), paths=joined(parts))
