"""What all figures share: each optimizer's color and marker, the house style, and inline SVG in the page's colors."""

from __future__ import annotations

import colorsys
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The slides' optimizers have colors that color-blind readers can tell apart (Okabe & Ito 2008, shifted for contrast); the
# others vary hue and lightness around them. Each has a contrast of 3:1 with the page, light or dark (WCAG 1.4.11), which
# leaves little choice: markers and labels tell lines apart as well, and no text has these colors.
COLORS = {
    "gd": "#767676",
    "sgd": "#0072b2",
    "momentum": "#00845f",
    "adagrad": "#b8860b",
    "rmsprop": "#c4649a",
    "adam": "#d55e00",
    "gd_equal_updates": "#939393",
    "nesterov": "#35a581",
    "amsgrad": "#dc7b3e",
    "adamw": "#a84b00",
    "adamax": "#8c6239",
    "nadam": "#e8604c",
    "adadelta": "#8f9700",
    "adafactor": "#7570b3",
    "ftrl": "#5b8c2a",
    "lion": "#b8336a",
    "lamb": "#e0559f",
    "muon": "#6a51c9",
    "schedule_free_adamw": "#1a9bb0",
}
MARKERS = "osD^vP*X<>hdp8"
LUMINANCE = 0.2  # of a derived color: midway between too faint on white and too faint on black
PAGE_WIDTH = 12.5  # inches of a figure that fit a page 1,280 pixels wide
GRAY = "#888888"  # of what isn't an optimizer: reference lines, bands, single seeds

# Stand-ins that figure_svg replaces by the page's own colors.
INK, RULE = "#010203", "#0a0b0c"
# With a fixed height, a title isn't measured against the labels below it, which takes a third of the drawing time.
STYLE = {
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "font.sans-serif": ["DejaVu Sans"],
    "svg.fonttype": "none",
    "svg.hashsalt": "descentlab",
    "path.simplify": True,
    "axes.formatter.useoffset": False,
    "axes.titley": 1.0,
    "text.parse_math": False,
}


def optimizer_color(name: str) -> str:
    """The optimizer's color as ``#rrggbb``: from the table, or derived from the SHA-256 of any other name."""
    if name in COLORS:
        return COLORS[name]
    digest = hashlib.sha256(name.encode()).digest()
    hue, saturation = digest[0] / 256, 0.5 + digest[1] / 512
    shades = [colorsys.hls_to_rgb(hue, lightness / 256, saturation) for lightness in range(256)]
    red, green, blue = min(shades, key=lambda shade: abs(relative_luminance(shade) - LUMINANCE))
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def relative_luminance(color: tuple[float, float, float]) -> float:
    """Relative luminance by WCAG 2.1.

    Args:
        color: red, green and blue of sRGB, each in 0…1.
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def optimizer_marker(name: str) -> str:
    """The optimizer's Matplotlib marker, which depends on nothing but its name."""
    index = list(COLORS).index(name) if name in COLORS else hashlib.sha256(name.encode()).digest()[3]
    return MARKERS[index % len(MARKERS)]


def label_room(names: Iterable[str]) -> float:
    """Inches beside a panel that fit the names and their marks.

    Estimated from the number of letters, as wide ones: measuring text takes most of the time of drawing.
    """
    return 0.5 + 0.08 * max(map(len, names), default=0)


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
    """A figure with a row of panels in the house style, or several rows of about as many, where one is wider than the page.

    Args:
        panels: number of panels.
        width, height: of one panel, in inches.
        left, right: room for labels on either side of a row, in inches.
        gap: room between panels, in inches.

    Returns:
        The figure and its panels, from left to right, row by row.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="whitegrid", rc=STYLE)
    top, bottom = 0.32, 0.48
    rows = -(-panels // max(1, int((PAGE_WIDTH - left - right + gap) / (width + gap))))
    columns = -(-panels // rows)
    size = (left + columns * width + (columns - 1) * gap + right, rows * (top + height + bottom))
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=share_y, sharex=share_x)
    axes, spare = list(grid.ravel()[:panels]), grid.ravel()[panels:]
    for panel in spare:
        panel.remove()
    for panel in axes:
        panel.tick_params(labelbottom=True)  # which sharing leaves to the last row
    figure.subplots_adjust(
        left=left / size[0],
        right=1 - right / size[0],
        top=1 - top / size[1],
        bottom=bottom / size[1],
        wspace=gap / width,
        hspace=(top + bottom) / height,
    )
    return figure, axes


def new_row_figure(
    panels: int,
    width: float,
    labels: Sequence[str],
    *,
    row: float = 0.22,
    margin: float = 0.0,
    right: float = 0.15,
    gap: float = 0.25,
    share_x: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A :func:`new_figure` whose panels share one row per label, with room for the labels on the left.

    Args:
        labels: of the rows.
        row: height of a row, in inches.
        margin: height of a panel beyond its rows, in inches.
    """
    height = row * len(labels) + margin
    return new_figure(
        panels, width, height, left=label_room(labels), right=right, gap=gap, share_y=True, share_x=share_x
    )


def use_log_scale(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with plain labels; its limits must be set.

    Decades are labeled, and 2 and 5 between them if there are fewer than two decades. Matplotlib's own labels are typeset as
    formulas, which is slow.

    Args:
        which: ``x`` or ``y``.
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
    """A tick's label, as a power of ten where a reader would have to count zeros.

    Example:
        >>> decade_label(0.01), decade_label(1e-6)
        ('0.01', '10⁻⁶')
    """
    if 1e-4 < value < 1e5:
        return f"{value:g}"
    digits = str(round(np.log10(value)))
    return "10" + digits.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def figure_svg(figure: Figure, alt: str, identity: str) -> str:
    """The figure as an ``<svg>`` element, which closes it: text stays text, colors follow the page.

    The same figure gives the same bytes.

    Args:
        alt: alternative text.
        identity: prefix of the ids inside, unique on the page.
    """
    import html

    import matplotlib.pyplot as plt

    buffer = io.StringIO()
    # in place: into memory
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # A tenth of a point is enough for coordinates; the text between the tags stays as it is.
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d)\d+", r"\1", tag.group()), svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg).replace("; stroke-linecap: round", "")
    svg = svg.replace("'DejaVu Sans'", "system-ui,sans-serif").replace(INK, "currentColor").replace(RULE, "var(--rule)")
    identity = re.sub(r"[^\w.-]", "_", identity)
    svg = re.sub(r'id="([^"]+)"', rf'id="{identity}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{identity}-", svg)
    svg = re.sub(r'<g id="[^"]*-linename-([^"]+)--">', r'<g class="series"><title>\1</title>', svg)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    text = html.escape(alt, quote=True)
    head = f'<svg class="plot" role="img" aria-label="{text}" viewBox="0 0 {width} {height}" '
    # Text of 9 points stays readable on a narrow screen (the box around it scrolls) and doesn't grow huge on a wide one.
    head += f'style="min-width:{round(float(width) * 1.1)}px;max-width:{round(float(width) * 1.5)}px" '
    head += 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    return re.sub(r">\s+<", "><", head + body).strip()


def standalone_svg(svg: str) -> str:
    """An ``<svg>`` of :func:`figure_svg` for use outside a page: dark on white."""
    head, tag, rest = svg.partition(">")
    return f"{head}{tag}<rect width='100%' height='100%' fill='#fff'/>{rest}".replace(
        "currentColor", "#1b1f24"
    ).replace("var(--rule)", "#d5dae0")


def spread_labels(positions: Sequence[float], least: float, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Positions moved apart until neighbors are at least ``least`` away, each as near to its own as possible.

    Args:
        positions: in any order, shape (n,).
        least: smallest distance between neighbors, in the unit of ``positions``.
        low, high: range for the results; if they don't all fit, they are spaced evenly over it.

    Returns:
        Shape (n,), in the order of ``positions``.

    Example:
        >>> spread_labels([0.9, 0.5, 0.5], least=0.2).tolist()
        [0.9, 0.4, 0.6]
    """
    n = len(positions)
    if n > 1 and least * (n - 1) > high - low:
        least = (high - low) / (n - 1)
    order = np.argsort(positions, kind="stable")
    placed = np.clip(np.asarray(positions, dtype=float)[order], low, high)
    groups: list[tuple[float, int]] = []  # center and size of runs of touching labels
    for position in placed:
        groups.append((float(position), 1))
        while True:
            center, size = groups[-1]
            half = least * (size - 1) / 2
            groups[-1] = (min(max(center, low + half), high - half), size)
            if len(groups) < 2:
                break
            (a, m), (b, k) = groups[-2:]
            if b - a >= least * (m + k) / 2 - 1e-12:
                break
            groups[-2:] = [((a * m + b * k) / (m + k), m + k)]
    spread = [center + least * (np.arange(size) - (size - 1) / 2) for center, size in groups]
    moved = np.empty(n)
    moved[order] = np.concatenate(spread) if spread else np.empty(0)
    return moved
