"""What a step costs in time and memory, and whether fewer steps make up for more expensive ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.step_cost import summarize_step_cost
from descentlab.i18n.wording import joined, message, words
from descentlab.measurements.step_loops import LARGE_MODEL, MODELS
from descentlab.optimizers.roles import ADAM, PLAIN
from descentlab.report.blocks import (
    Evidence,
    Figure,
    Section,
    Table,
    distinct,
    interval,
    number,
    optimizer_title,
)
from descentlab.report.drawing import draw_rows, finish, limit_ratios
from descentlab.report.plotting import GRAY, new_row_figure
from descentlab.report.sections.break_even import break_even_figure, break_even_table

MOST_PANELS = 4
TIMED = {
    "step": (
        message("Time of a whole step, forward and backward pass included"),
        message(
            "A whole step of {optimizer} takes {times} times as long as plain SGD's; optimizers clearly slower than plain SGD: "
            "{slower}"
        ),
    ),
    "update": (
        message("Time of the update alone"),
        message(
            "The update alone of {optimizer} takes {times} times as long as plain SGD's; optimizers clearly slower than plain "
            "SGD: {slower}"
        ),
    ),
}


def cost(evidence: Evidence) -> Section | None:
    """Time of a step and of an update relative to plain SGD's, bytes of state, and the break-even with the steps saved."""
    table = evidence.measurement("step_cost")
    blocks: list[Figure | Table] = []
    if len(table):
        ratios = summarize_step_cost(table).sort_values(["parameters", "model"], kind="stable")
        full_batch = [name for name, entry in evidence.plan.optimizers.items() if entry.full_batch]
        batched = ratios[~ratios["optimizer"].isin(full_batch)]
        if evidence.optimizers_in(batched[batched["optimizer"] != PLAIN]):
            blocks = [time_figure(evidence, batched, what) for what in TIMED]
        pays = [figure for arm in evidence.arms if (figure := break_even_figure(evidence, arm))]
        blocks += [*pays, cost_table(evidence, table, ratios)]
        if len(evidence.comparison.break_even):
            blocks.append(break_even_table(evidence))
    return Section("cost", words("What a step costs, and whether it pays"), blocks) if blocks else None


def shown_models(ratios: pd.DataFrame) -> list[str]:
    """The models that get a panel, smallest first: all if they are few, else the standard sizes."""
    models = distinct(ratios["model"])
    if len(models) <= MOST_PANELS:
        return models
    return [name for name in models if name in (*MODELS, LARGE_MODEL)] or models[-MOST_PANELS:]


def time_figure(evidence: Evidence, ratios: pd.DataFrame, what: str) -> Figure:
    """Time relative to plain SGD's, one panel per model.

    Args:
        ratios: rows of :func:`summarize_step_cost`, models by size.
        what: ``step`` for the whole step; ``update`` for the update alone, with a panel for the bytes of state.
    """
    models = shown_models(ratios)
    shown = ratios[ratios["model"].isin(models) & (ratios["optimizer"] != PLAIN)]
    # A model that is always timed may be a problem too, with another batch size: that row is in the table only.
    shown = shown.drop_duplicates(["model", "optimizer"])
    order = evidence.optimizers_in(shown)
    whole_step = what == "step"
    panels = len(models) + (not whole_step)
    figure, axes = new_row_figure(panels, 1.95, order, margin=0.2, gap=0.15)
    for panel, model in zip(axes, models, strict=False):
        on_model = shown[shown["model"] == model]
        panel.axvline(1, color=GRAY, linewidth=0.9)
        draw_rows(panel, on_model, order, f"{what}_ratio", f"{what}_low", f"{what}_high")
        limit_ratios(panel, shown[[f"{what}_ratio", f"{what}_low", f"{what}_high"]])
        panel.set_title(f"{model}, {on_model['parameters'].iloc[0]:,}")
        panel.set_xlabel(words("time / plain SGD's"))
    if not whole_step:
        state = shown[shown["model"] == models[-1]].assign(none=np.nan)
        draw_rows(axes[-1], state, order, "state_bytes_per_parameter", "none", "none")
        axes[-1].set_xlim(-0.5, float(state["state_bytes_per_parameter"].max()) * 1.1 + 0.5)
        axes[-1].set_title(words("optimizer's state"))
        axes[-1].set_xlabel(words("bytes / parameter"))
    takeaway = time_words(shown, models, what)
    subject, _ = TIMED[what]
    caption = words(
        "{subject}, measured serially, over plain SGD's in the same round: geometric mean over n = {n} rounds with the 95 % t "
        "interval of the logarithms; left of the line is cheaper, an interval wholly right of it clearly costlier. One panel "
        "per model, with its trainable parameters",
        subject=words(subject),
        n=int(shown["n"].max()),
    )
    caption = (
        f"{caption}."
        if whole_step
        else words(
            "{panels}; on the right, the optimizer's variables per trainable parameter of {model}, counted, so without an "
            "interval: a float32 takes 4 bytes, and plain SGD keeps none.",
            panels=caption,
            model=models[-1],
        )
    )
    return finish(figure, f"{what}-cost", takeaway=takeaway, caption=caption, data=ratios)


def time_words(shown: pd.DataFrame, models: list[str], what: str) -> str:
    """Adam's ratio (or the largest, without Adam), and how many optimizers are clearly slower than plain SGD."""
    name = ADAM if (shown["optimizer"] == ADAM).any() else str(shown.loc[shown[f"{what}_ratio"].idxmax(), "optimizer"])
    times, slower = [], []
    for model in models:
        on_model = shown[shown["model"] == model].set_index("optimizer")
        if name in on_model.index:
            row = on_model.loc[name]
            value = interval(row[f"{what}_ratio"], row[f"{what}_low"], row[f"{what}_high"], int(row["n"]))
            times.append(words("{value} on {where}", value=value, where=model))
        count = int((on_model[f"{what}_low"] > 1).sum())
        slower.append(words("{n} of {of} on {where}", n=count, of=len(on_model), where=model))
    _, takeaway = TIMED[what]
    return words(takeaway, optimizer=optimizer_title(name), times=joined(times), slower=joined(slower))


def cost_table(evidence: Evidence, table: pd.DataFrame, ratios: pd.DataFrame) -> Table:
    """The numbers of every model and optimizer: models by size, optimizers in the order of the plan."""
    order = distinct([*evidence.optimizers, *ratios["optimizer"]])
    order_by_size = np.lexsort(
        (ratios["optimizer"].map(order.index), ratios["batch_size"], ratios["model"], ratios["parameters"])
    )
    peaks = table.groupby(["model", "batch_size", "optimizer"])["device_peak_bytes"].median()
    on_device = bool(peaks.notna().any())
    rows = []
    for row in ratios.iloc[order_by_size].to_dict("records"):
        update = interval(row["update_ratio"], row["update_low"], row["update_high"], row["n"])
        step = interval(row["step_ratio"], row["step_low"], row["step_high"], row["n"])
        cells = [
            row["model"],
            f"{row['parameters']:,}",
            f"{row['batch_size']:,}",
            row["optimizer"],
            number(row["update_microseconds"]),
            update,
            number(row["step_microseconds"]),
            step,
            number(row["state_bytes_per_parameter"]),
        ]
        peak_bytes = peaks[row["model"], row["batch_size"], row["optimizer"]]
        rows.append([*cells, *([number(peak_bytes / 1e6)] if on_device else [])])
    headers = [
        words("model"),
        words("parameters"),
        words("batch size"),
        words("optimizer"),
        words("update, µs"),
        words("ratio to sgd's [95 %]"),
        words("step, µs"),
        words("ratio to sgd's [95 %]"),
        words("state, bytes per parameter"),
    ]
    caption = words(
        "On {devices}, serially, in a new random order each round; microseconds are medians over n rounds, in each the median "
        "of {least} to {most} synchronized calls. Ratios: geometric means over rounds.",
        devices=joined(sorted(set(table["device"]))),
        least=table["steps"].min(),
        most=table["steps"].max(),
    )
    if on_device:
        headers.append(words("device's peak, MB"))
        peak = words("The device's peak is the median over rounds, minus the other optimizers' state.")
        caption = f"{caption} {peak}"
    return Table(
        "step-costs",
        words("All costs of a step as numbers"),
        headers,
        rows,
        caption,
        table,
        frozenset({1, 2, 4, 6, 8, 9}),
        folded=True,
    )
