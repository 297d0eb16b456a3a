"""Drawing: colour by the optimizer's name, figures as inline SVG that follows the page's colours, drawing primitives.

Every function draws a table that it is given; none computes a statistic.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The slides' optimizers have colours that colour-blind readers can tell apart (Okabe & Ito 2008, darkened where needed
# for contrast); the others vary hue and lightness around them. Lines are told apart by marker and label as well.
COLOURS = {
    "gd": "#767676", "sgd": "#0072b2", "momentum": "#00916a", "adagrad": "#b8860b", "rmsprop": "#c4649a",
    "adam": "#d55e00", "gd_equal_updates": "#9a9a9a", "nesterov": "#3fb58f", "amsgrad": "#f0894d",
    "adamw": "#a84b00", "adamax": "#8c6239", "nadam": "#e8604c", "adadelta": "#9aa300", "adafactor": "#7570b3",
    "ftrl": "#5b8c2a", "lion": "#b03060", "lamb": "#e0559f", "muon": "#6a51c9", "schedule_free_adamw": "#1a9bb0",
}  # fmt: skip
MARKERS = "osD^vP*X<>hdp8"
SLIDES = ("gd", "sgd", "momentum", "adagrad", "rmsprop", "adam")
VERDICT_MARKS = {
    "better": "^", "worse": "v", "negligible": "s", "inconclusive": "o", "identical": "D", "diverged": "X",
    "not tested": ".",
}  # fmt: skip

# Stand-ins that the finished SVG replaces by the page's own colours.
INK, RULE = "#010203", "#0a0b0c"
STYLE = {
    "axes.edgecolor": RULE, "axes.labelcolor": INK, "axes.titlecolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "grid.color": RULE, "grid.linewidth": 0.6, "axes.grid": True, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
    "font.sans-serif": ["DejaVu Sans"], "svg.fonttype": "none", "svg.hashsalt": "descentlab", "path.simplify": True,
    "axes.formatter.useoffset": False,
}  # fmt: skip


def optimizer_colour(name: str) -> str:
    """``#rrggbb``, a function of the name alone: the table's own, or one derived from sha256 for any other name."""
    if name in COLOURS:
        return COLOURS[name]
    digest = hashlib.sha256(name.encode()).digest()
    red, green, blue = colorsys.hls_to_rgb(digest[0] / 256, 0.42 + digest[1] / 2048, 0.55 + digest[2] / 1024)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def optimizer_marker(name: str) -> str:
    """A marker, a function of the name alone."""
    place = list(COLOURS).index(name) if name in COLOURS else hashlib.sha256(name.encode()).digest()[3]
    return MARKERS[place % len(MARKERS)]


def new_figure(
    panels: int,
    width: float,
    height: float,
    *,
    left: float = 0.75,
    right: float = 0.15,
    gap: float = 0.25,
    share_y: bool = False,
    share_x: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A row of panels in the house style.

    Args:
        width, height: of one panel, in inches.
        left, right: room for labels beside the row, in inches.
        gap: room between panels, in inches. Fixed, because measuring text to find it takes most of the time of drawing.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="whitegrid", rc=STYLE)
    top, bottom = 0.32, 0.48
    whole = (left + panels * width + (panels - 1) * gap + right, top + height + bottom)
    figure, axes = plt.subplots(1, panels, figsize=whole, squeeze=False, sharey=share_y, sharex=share_x)
    figure.subplots_adjust(
        left=left / whole[0], right=1 - right / whole[0], top=1 - top / whole[1], bottom=bottom / whole[1],
        wspace=gap / width,
    )  # fmt: skip
    return figure, list(axes.ravel())


def use_log_scale(axes: Axes, which: str) -> None:
    """A logarithmic axis with plain labels (Matplotlib's own are typeset as formulas, slowly); limits must be set.

    Decades are labelled, and 2 and 5 between them where there are fewer than two decades.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    decades = np.log10(high / low) if 0 < low < high else 9
    if decades < 2:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    elif decades < 8:
        axis.set_major_locator(LogLocator(numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: decade_label(value)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def decade_label(value: float) -> str:
    """``0.01``, ``100``, and ``10⁻⁶`` where zeros would have to be counted."""
    if 1e-4 < value < 1e5:
        return f"{value:g}"
    digits = str(round(np.log10(value)))
    return "10" + digits.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def figure_svg(figure: Figure, alt: str, identity: str) -> str:
    """The figure as an ``<svg>`` element: text stays text, colours follow the page, same figure same bytes.

    Args:
        alt: what a reader who can't see it needs to know.
        identity: prefix of the ids inside, unique in the page.
    """
    import html

    import matplotlib.pyplot as plt

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # A tenth of a point is enough for coordinates; what is written between the tags stays as it is.
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d)\d+", r"\1", tag.group()), svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg).replace("; stroke-linecap: round", "")
    svg = svg.replace("'DejaVu Sans'", "system-ui,sans-serif").replace(INK, "currentColor").replace(RULE, "var(--rule)")
    svg = re.sub(r'id="([^"]+)"', rf'id="{identity}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{identity}-", svg)
    svg = re.sub(r'<g id="[^"]*-linename-([\w-]+)--">', r'<g class="series"><title>\1</title>', svg)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    text = html.escape(alt, quote=True)
    head = f'<svg class="plot" role="img" aria-label="{text}" viewBox="0 0 {width} {height}" '
    head += f'style="max-width:{round(float(width) * 1.5)}px" '
    head += 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    return re.sub(r">\s+<", "><", head + body).strip()


def spread_labels(positions: Sequence[float], least: float, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Positions moved apart so that neighbours are at least ``least`` away, each as near to its own as that allows.

    Args:
        positions: any order, shape (n,).
        low, high: where the first and the last may lie; where there is no room for all, they are set evenly.

    Returns:
        Shape (n,), in the order of ``positions``.
    """
    n = len(positions)
    if n > 1 and least * (n - 1) > high - low:
        least = (high - low) / (n - 1)
    order = np.argsort(positions, kind="stable")
    placed = np.clip(np.asarray(positions, dtype=float)[order], low, high)
    groups: list[tuple[float, int]] = []  # centre and size of runs of touching labels
    for position in placed:
        groups.append((float(position), 1))
        while True:
            centre, size = groups[-1]
            half = least * (size - 1) / 2
            groups[-1] = (min(max(centre, low + half), high - half), size)
            if len(groups) < 2:
                break
            (a, m), (b, k) = groups[-2:]
            if b - a >= least * (m + k) / 2 - 1e-12:
                break
            groups[-2:] = [((a * m + b * k) / (m + k), m + k)]
    spread = [centre + least * (np.arange(size) - (size - 1) / 2) for centre, size in groups]
    moved = np.empty(n)
    moved[order] = np.concatenate(spread) if spread else np.empty(0)
    return moved


def draw_curves(
    axes: Axes, curves: pd.DataFrame, x: str, y: str, *, x_scale: str = "log", y_scale: str = "linear"
) -> None:
    """Mean lines by optimizer with their interval, the slides' optimizers in front and labelled at their end.

    Args:
        curves: columns ``optimizer``, ``x``, ``<y>_mean``, ``<y>_low``, ``<y>_high``; ``x`` ascending.
    """
    names = list(dict.fromkeys(curves["optimizer"]))
    front = [name for name in names if name in SLIDES] or names[:6]
    ends: dict[str, tuple[float, float]] = {}
    # A point at 0 has no place on a logarithmic axis: it stands half a step left of the first.
    positive = curves.loc[curves[x] > 0, x]
    least = float(positive.min()) / 2 if len(positive) else 0.5
    for name in [*[n for n in names if n not in front], *front]:
        line = curves[curves["optimizer"] == name]
        horizontal = line[x].clip(lower=least) if x_scale == "log" else line[x]
        mean = line[f"{y}_mean"]
        leading = name in front
        axes.plot(
            horizontal, mean, color=optimizer_colour(name), linewidth=1.8 if leading else 0.9,
            alpha=1.0 if leading else 0.55, zorder=3 if leading else 2,
            linestyle="-" if leading else (0, (4, 1.5)), gid=f"linename-{name}--",
        )  # fmt: skip
        if leading:
            low, high = line[f"{y}_low"], line[f"{y}_high"]
            axes.fill_between(horizontal, low, high, color=optimizer_colour(name), alpha=0.15, linewidth=0, zorder=1)
            visible = mean[np.isfinite(mean)]
            if len(visible):
                ends[name] = (float(horizontal.loc[visible.index[-1]]), float(visible.iloc[-1]))
    axes.set_xscale(x_scale)
    axes.set_yscale(y_scale)
    values = curves[f"{y}_mean"].replace([np.inf, -np.inf], np.nan).dropna()
    if len(values):
        limit_values(axes, values.to_numpy(), y_scale)
    for which, scale in (("x", x_scale), ("y", y_scale)):
        if scale == "log":
            use_log_scale(axes, which)
    label_ends(axes, ends)


def limit_values(axes: Axes, values: np.ndarray, scale: str) -> None:
    """Limits that show all but the wildest twentieth of the values on the bad side of a diverging curve."""
    low, high = np.quantile(values, [0.0, 0.97])
    if scale == "log":
        positive = values[values > 0]
        low, high = max(float(positive.min()), high * 1e-6), high * 1.3
        axes.set_ylim(low / 1.3, high)
        return
    high = max(high, values.max() if values.max() <= 1.5 * abs(high) else high)
    room = (high - low) * 0.06 or 0.01
    axes.set_ylim(low - room, high + room)


def label_ends(axes: Axes, ends: dict[str, tuple[float, float]]) -> None:
    """Names beside the ends of their lines, moved apart where they would overlap."""
    if not ends:
        return
    transform = axes.transData
    to_axes = axes.transAxes.inverted()
    heights = [float(to_axes.transform(transform.transform(end))[1]) for end in ends.values()]
    for name, height in zip(ends, spread_labels(heights, 0.055), strict=True):
        axes.text(
            1.015, height, name, transform=axes.transAxes, color=optimizer_colour(name), va="center", fontsize=8.5,
            fontweight="bold", clip_on=False,
        )  # fmt: skip


def draw_rows(
    axes: Axes,
    table: pd.DataFrame,
    order: Sequence[str],
    mean: str,
    low: str,
    high: str,
    *,
    marks: str | None = None,
    offset: float = 0.0,
    filled: bool = True,
) -> None:
    """One row an optimizer: a mark at the mean, a line over the interval.

    Args:
        table: at most one row an optimizer, with the named columns; ``marks`` names a column of verdicts.
        order: optimizers from top to bottom; those without a row stay empty.
        offset: moves the rows, to put two sets beside each other.
    """
    place = {name: i for i, name in enumerate(order)}
    for row in table.to_dict("records"):
        name = str(row["optimizer"])
        y = place[name] + offset
        colour = optimizer_colour(name)
        mark = VERDICT_MARKS[str(row[marks])] if marks else "o"
        hollow = (marks is not None and row[marks] == "inconclusive") or not filled
        if np.isfinite(row[low]) and np.isfinite(row[high]):
            axes.plot([row[low], row[high]], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
        axes.plot(
            [row[mean]], [y], marker=mark, markersize=5.5, color=colour, markerfacecolor="none" if hollow else colour,
            linestyle="none",
        )  # fmt: skip
    label_rows(axes, order)


def label_rows(axes: Axes, order: Sequence[str]) -> None:
    """Names of the optimizers on the y axis, first on top."""
    axes.set_yticks(range(len(order)), labels=list(order))
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def draw_points(axes: Axes, scores: pd.DataFrame, order: Sequence[str], value: str) -> None:
    """Each seed a point, in its optimizer's row; fixed shifts instead of random ones keep points apart."""
    place = {name: i for i, name in enumerate(order)}
    y = scores["optimizer"].map(place) + (scores["seed"] % 5 - 2) * 0.09
    colours = [optimizer_colour(name) for name in scores["optimizer"]]
    axes.scatter(scores[value], y, s=9, c=colours, alpha=0.45, linewidths=0, zorder=2)
