"""Whether momentum escapes spurious minima, and who gets along a valley: shares of starts, paths, final heights."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from descentlab.analysis.statistics.paired import estimate_difference
from descentlab.analysis.statistics.survival import share_interval
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.measurements.landscapes import GRID
from descentlab.optimizers.roles import MOMENTUM, PLAIN
from descentlab.report.blocks import Evidence, Figure, Section, Table, distinct, interval, number
from descentlab.report.drawing import draw_rows, finish
from descentlab.report.plotting import new_row_figure, optimizer_color
from descentlab.report.sections.landscape_paths import BACKDROP, basin_words, height_words, path_figure, strip_figure
from descentlab.report.sections.landscape_valleys import height_figure, height_table
from descentlab.report.sections.landscape_words import descent_title, landscape_title, place_words

TUNED = message("chosen, decaying")
CONSTANT = message("chosen, constant")
SAME = message("plain descent's, decaying")
ENDS = {TUNED: "global_basin", CONSTANT: "constant_rate_basin", SAME: "same_rate_basin"}
PAIR = {PLAIN, MOMENTUM}
MORE, LESS, NEITHER = COMPARED = (
    message("more often on {places}"),
    message("less often on {places}"),
    message("neither clearly more nor less often on {places}"),
)


def landscapes(evidence: Evidence) -> Section | None:
    """Shares of starts that end in the global basin, paths, and how far down valleys each optimizer gets."""
    ends = evidence.measurement("landscapes")
    paths = evidence.measurement("trajectories")
    if ends.empty or paths.empty:
        return None
    spurious, valleys = ends[ends["spurious"]], ends[~ends["spurious"]]
    hilly, flat = (distinct(rows["landscape"]) for rows in (spurious, valleys))
    blocks: list[Figure | Table] = []
    strip = strip_figure(paths)
    if hilly:
        shares = share_table(spurious)
        blocks += [
            share_figure(shares, spurious),
            escape_table(shares),
            *([strip] if strip else []),
            path_figure(paths, hilly, "landscape-paths", basin_words(paths, hilly)),
        ]
    if flat:
        heights = height_table(valleys)
        blocks += [path_figure(paths, flat, "valley-paths", height_words(paths, flat)), height_figure(heights)]
    return Section("landscapes", words("Spurious minima and valleys"), [*blocks, rate_table(ends)])


def share_table(ends: pd.DataFrame) -> pd.DataFrame:
    """Share of starts that end in the global basin with its exact 95 % interval, by choice of the learning rate.

    Args:
        ends: rows of LANDSCAPE_COLUMNS.

    Returns:
        One row per (landscape, optimizer, rate): ``share``, ``low``, ``high``, ``n``; ``start_share``, the share of starts
        that begin in the global basin; ``escaped``, how many of the ``outside`` ones end inside; ``lost``, how many of the
        ``inside`` ones end outside.
    """
    rows = []
    for (landscape, optimizer), group in ends.groupby(["landscape", "optimizer"], sort=False):
        began = group["start_global"]
        for rate, column in ENDS.items():
            ended = group[column]
            share = share_interval(int(ended.sum()), len(group))
            rows.append(
                {
                    "landscape": landscape,
                    "optimizer": optimizer,
                    "rate": rate,
                    "share": share.share,
                    "low": share.low,
                    "high": share.high,
                    "n": share.n,
                    "start_share": began.mean(),
                    "escaped": int((ended & ~began).sum()),
                    "outside": int((~began).sum()),
                    "lost": int((began & ~ended).sum()),
                    "inside": int(began.sum()),
                }
            )
    return pd.DataFrame(rows)


def share_figure(shares: pd.DataFrame, ends: pd.DataFrame) -> Figure:
    """Shares with a decaying rate (filled) and with a constant one (hollow), one panel per landscape."""
    order, names = distinct(shares["optimizer"]), distinct(shares["landscape"])
    figure, axes = new_row_figure(len(names), 2.2, order, row=0.4, margin=0.2, gap=0.15, share_x=True)
    for panel, name in zip(axes, names, strict=True):
        on_landscape = shares[shares["landscape"] == name]
        panel.axvline(float(on_landscape["start_share"].iloc[0]), color=BACKDROP, linewidth=1.2, linestyle=(0, (3, 2)))
        decaying, constant, same = (on_landscape[on_landscape["rate"] == rate] for rate in (TUNED, CONSTANT, SAME))
        draw_rows(panel, decaying, order, "share", "low", "high", offset=-0.22)
        draw_rows(panel, constant, order, "share", "low", "high", offset=0.02, filled=False)
        same = same[same["optimizer"] == MOMENTUM]
        panel.plot(
            same["share"],
            [order.index(o) + 0.26 for o in same["optimizer"]],
            marker="x",
            markersize=6,
            color=optimizer_color(MOMENTUM),
            linestyle="none",
            zorder=4,
        )
        panel.set_title(landscape_title(name))
        panel.set_xlabel(words("share of starts"))
        panel.set_xlim(-0.02, 1.02)
        panel.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "", "0.5", "", "1"])
    takeaway = share_words(shares, ends)
    caption = words(
        "Starts that end in the global basin (more is better), of n = {n} drawn uniformly from each landscape's box, the same "
        "for all optimizers, after {updates} with the full gradient; exact 95 % binomial intervals. Filled: the rate decays "
        "linearly to zero; hollow: it is constant; both chosen for each optimizer and landscape from the same {rates} rates by "
        "the mean final value over other starts. The cross is momentum with plain descent's chosen decaying rate. Dashed: "
        "starts that begin in the global basin, where a descent in small enough steps would leave them.",
        n=int(shares["n"].max()),
        rates=len(GRID),
        updates=counted(int(ends["updates"].max()), "{n} update", "{n} updates"),
    )
    return finish(figure, "landscape-shares", takeaway=takeaway, caption=caption, data=shares)


def share_words(shares: pd.DataFrame, ends: pd.DataFrame) -> str:
    """Where momentum ends in the global basin more or less often than plain descent, and who does most often."""
    tuned = shares[shares["rate"] == TUNED]
    best = []
    for name, group in tuned.groupby("landscape", sort=False):
        most = float(group["share"].max())
        who = joined([descent_title(o) for o in group.loc[group["share"] == most, "optimizer"]])
        best.append(place_words(who, str(name), number(most)))
    decaying, constant = (compared_words(ends, ENDS[rate]) for rate in (TUNED, CONSTANT))
    if not decaying:
        return words("Highest share ending in the global basin: {best}", best=joined(best))
    return words(
        "Compared with plain descent, momentum ends in the global basin {decaying}; with constant rates {constant}; highest "
        "share: {best}",
        decaying=decaying,
        constant=constant,
        best=joined(best),
    )


def compared_words(ends: pd.DataFrame, column: str) -> str:
    """``more often on …, less often on …``, by the 95 % interval of the difference paired by start.

    Empty where a landscape lacks momentum or plain descent.
    """
    places_by_phrase: dict[str, list[str]] = {phrase: [] for phrase in COMPARED}
    for name, group in ends.groupby("landscape", sort=False):
        inside = group.pivot(index="start", columns="optimizer", values=column).astype(float)
        if set(inside) >= PAIR:
            low, high = estimate_difference((inside[MOMENTUM] - inside[PLAIN]).to_numpy()).interval()
            means = {optimizer: number(inside[optimizer].mean()) for optimizer in sorted(PAIR)}
            place = words("{where} ({momentum} against {sgd})", where=landscape_title(str(name)), **means)
            places_by_phrase[MORE if low > 0 else LESS if high < 0 else NEITHER].append(place)
    parts = [words(phrase, places=joined(places)) for phrase, places in places_by_phrase.items() if places]
    return joined(parts) if parts else ""


def escape_table(shares: pd.DataFrame) -> Table:
    """How many starts momentum and plain descent carry into the global basin, and how many out of it."""
    columns = [
        (optimizer, rate)
        for rate in (TUNED, CONSTANT, SAME)
        for optimizer in (MOMENTUM, PLAIN)
        if (optimizer, rate) != (PLAIN, SAME)
    ]
    rows, gains = [], []
    for landscape, group in shares.groupby("landscape", sort=False):
        name, first = landscape_title(str(landscape)), group.iloc[0]
        counts = {
            (row["optimizer"], row["rate"]): {"escaped": row["escaped"], "lost": row["lost"]}
            for row in group.to_dict("records")
        }
        cells = [
            words("{escaped} in, {lost} out", **counts[key]) if key in counts else words("not measured")
            for key in columns
        ]
        rows.append([name, str(first["outside"]), str(first["inside"]), *cells])
        if (MOMENTUM, TUNED) in counts:
            gains.append(words("{escaped} in and {lost} out on {where}", where=name, **counts[MOMENTUM, TUNED]))
    title = (
        words("Momentum carries starts into the global basin and out of it: {gains}", gains=joined(gains))
        if gains
        else words("Starts carried into the global basin and out of it")
    )
    caption = words(
        "Starts that begin outside the global basin and end inside (in), and the reverse (out), of those that begin outside and"
        " inside. Speed that escapes a bad minimum can leave a good one too."
    )
    headers = [
        words("landscape"),
        words("begin outside"),
        words("begin inside"),
        *(
            words("{optimizer}; rate {rate}", optimizer=descent_title(optimizer), rate=words(rate))
            for optimizer, rate in columns
        ),
    ]
    return Table("landscape-escapes", title, headers, rows, caption, shares, frozenset(range(1, len(headers))))


def edge_words(rates: Sequence[float]) -> str:
    """How many of the chosen rates lie on the edge of the grid, beyond which there may be better ones."""
    return counted(
        sum(rate in (GRID[0], GRID[-1]) for rate in rates),
        "{n} of {of} chosen rates lies on the edge of the grid",
        "{n} of {of} chosen rates lie on the edge of the grid",
        of=len(rates),
    )


def rate_table(ends: pd.DataFrame) -> Table:
    """Chosen rates, shares and final values of every (landscape, optimizer)."""
    rows, rates = [], list[float]()
    for (landscape, optimizer), group in ends.groupby(["landscape", "optimizer"], sort=False):
        first = group.iloc[0]
        rates += [float(first["learning_rate"]), float(first["constant_learning_rate"])]
        cells = []
        for column in ENDS.values():
            share = share_interval(int(group[column].sum()), len(group))
            cells.append(interval(share.share, share.low, share.high, share.n))
        rows.append(
            [
                landscape_title(str(landscape)),
                optimizer,
                f"{rates[-2]:g}",
                f"{rates[-1]:g}",
                *cells,
                number(float(group["value"].median())),
                number(float(group["value"].mean())),
            ]
        )
    caption = words(
        "{n} rates from {least:g} to {most:g} in half-decades for every landscape and optimizer; {edge}. Share of starts that "
        "end in the global basin with its exact 95 % binomial interval; in a valley a start is missing where it diverged or, on"
        " Beale, where it is not yet below every other place that descent can lead to. Final value: above the minimum, with the"
        " decaying rate; rates are chosen by it.",
        n=len(GRID),
        least=GRID[0],
        most=GRID[-1],
        edge=edge_words(rates),
    )
    headers = [
        words("landscape"),
        words("optimizer"),
        words("rate, decaying"),
        words("rate, constant"),
        words("share [95 %]"),
        words("share, constant rate [95 %]"),
        words("share, plain descent's rate [95 %]"),
        words("median final value"),
        words("mean final value"),
    ]
    return Table(
        "landscape-rates",
        words("Every landscape and optimizer"),
        headers,
        rows,
        caption,
        None,
        frozenset(range(2, 9)),
        folded=True,
    )
