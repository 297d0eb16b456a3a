"""How close training gets to a known optimum, by schedule and batch: the noise floor of a constant rate."""

from __future__ import annotations

import pandas as pd

from descentlab.analysis.statistics.intervals import average_by, t_interval
from descentlab.i18n.wording import joined, words
from descentlab.report.blocks import Evidence, Figure, distinct, interval_text, optimizer_title
from descentlab.report.drawing import draw_curves, finish
from descentlab.report.phrases import WAYS
from descentlab.report.plotting import label_room, new_figure

LEAST = 1e-8  # single precision resolves nothing below


def noise_floor_figure(evidence: Evidence) -> Figure | None:
    """Gap to the lowest loss of logistic regression against updates, one panel per way of training."""
    table = evidence.measurement("noise_floor")
    if table.empty:
        return None
    curves = average_by(table, ["way", "optimizer", "updates"], ["gap"])
    names = distinct(curves["optimizer"])
    room = label_room(names)
    ways = distinct(table["way"])
    figure, axes = new_figure(len(ways), 2.5, 2.7, right=room, gap=room + 0.45)
    clipped = curves.assign(**{name: curves[name].clip(lower=LEAST) for name in ("gap_mean", "gap_low", "gap_high")})
    for panel, way in zip(axes, ways, strict=True):
        draw_curves(panel, clipped[clipped["way"] == way], "updates", "gap", y_scale="log")
        panel.set_ylim(LEAST / 2, 10)
        panel.set_title(words(WAYS[way]))
        panel.set_xlabel(words("updates"))
    axes[0].set_ylabel(words("objective − optimum (lower is better)"))
    takeaway = words(
        "Logistic regression, gaps of the optimizers that end nearest to and farthest from the optimum: {ends}",
        ends="; ".join(end_words(table, way) for way in ways),
    )
    caption = words(
        "Training loss plus penalty above the least possible (a Newton method in double precision) on one fixed split; "
        "means with 95 % t intervals over n = {n} seeds. Every optimizer begins with the same rate in every panel, high enough "
        "to show the floor of a constant one. Anything below {least:g} is drawn there: single precision resolves no more.",
        n=table["seed"].nunique(),
        least=LEAST,
    )
    return finish(figure, "noise-floor", takeaway=takeaway, caption=caption, data=table)


def end_words(table: pd.DataFrame, way: str) -> str:
    """Who ends closest to the optimum and who farthest, for one way of training."""
    on_way = table[table["way"] == way]
    last = on_way[on_way["updates"] == on_way["updates"].max()]
    ends = {str(name): t_interval(group["gap"].to_numpy()) for name, group in last.groupby("optimizer", sort=False)}
    order = sorted(ends, key=lambda name: ends[name].mean)
    texts = [f"{optimizer_title(name)} {interval_text(ends[name])}" for name in distinct([order[0], order[-1]])]
    return f"{words(WAYS[way])}: {joined(texts)}"
