"""What a step costs in time and memory, and whether fewer steps make up for more expensive ones."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from descentlab.analysis.step_cost import summarize_step_cost
from descentlab.experiment.plan import Plan
from descentlab.i18n.wording import joined, message, words
from descentlab.optimizers.roles import ADAM, PLAIN
from descentlab.report.blocks import (
    Evidence,
    Figure,
    Paragraph,
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

NOT_COUNTED = message("Operations were not counted for {rows}; the log of the measurement says why.")
NOT_TIMED = message(
    "The cost of a step was not measured for {rows}, so nothing here is in seconds for them; the log of the measurement says "
    "why."
)


def cost(evidence: Evidence) -> Section | None:
    """Operations and bytes of an update, time of a step relative to plain SGD's, and the break-even with the steps saved."""
    table, operations = evidence.measurement("step_cost"), evidence.measurement("operations")
    blocks: list[Figure | Table | Paragraph] = [operations_table(evidence, operations)] if len(operations) else []
    if len(table):
        ratios = summarize_step_cost(table).sort_values(["parameters", "model"], kind="stable")
        full_batch = [name for name, entry in evidence.plan.optimizers.items() if entry.full_batch]
        batched = ratios[~ratios["optimizer"].isin(full_batch)]
        if evidence.optimizers_in(batched[batched["optimizer"] != PLAIN]):
            blocks.append(time_figure(evidence, batched))
        pays = [figure for arm in evidence.arms if (figure := break_even_figure(evidence, arm))]
        blocks += [*pays, cost_table(evidence, table, ratios)]
        if len(evidence.comparison.break_even):
            blocks.append(break_even_table(evidence))
    blocks += not_measured(evidence)
    return Section("cost", words("What a step costs, and whether it pays"), blocks) if blocks else None


def not_measured(evidence: Evidence) -> list[Paragraph]:
    """What the experiment trains and a measurement of it left out; the log has the reason."""
    full_batch = {name for name, info in evidence.plan.optimizers.items() if info.full_batch}
    paragraphs = []
    for measurement, without, text in (
        ("operations", full_batch, NOT_COUNTED),
        ("step_cost", set(), NOT_TIMED),
    ):
        left_out = left_out_rows(evidence.plan, evidence.measurement(measurement), without)
        if left_out and measurement in evidence.plan.config.measurements:
            paragraphs.append(Paragraph(words(text, rows=joined(left_out)), identity=f"left-out-{measurement}"))
    return paragraphs


def left_out_rows(plan: Plan, table: pd.DataFrame, without: Collection[str]) -> list[str]:
    """``soap on mlp`` for each pair that the plan trains and a table lacks, and ``gan`` for a problem without any.

    Args:
        plan: the experiment's plan.
        table: has the columns ``model`` and ``optimizer``, or no rows.
        without: optimizers that are not measured.
    """
    measured = set(zip(table["model"], table["optimizer"], strict=True)) if len(table) else set()
    rows = []
    for problem, jobs in plan.jobs.items():
        trained = [name for job in jobs for name in job if name not in without]
        missing = [name for name in trained if (problem, name) not in measured]
        if missing == trained:
            rows += [problem] * bool(trained)
        else:
            rows += [words("{optimizer} on {problem}", optimizer=name, problem=problem) for name in missing]
    return rows


def operations_table(evidence: Evidence, operations: pd.DataFrame) -> Table:
    """What an update of each optimizer takes, counted, and how much of a whole step that is."""
    plain = operations[operations["optimizer"] == PLAIN].set_index("model")
    rows = []
    for row in operations.to_dict("records"):
        whole = row["update_operations"] + row["gradient_operations"]
        of_plain = plain.loc[row["model"], "update_operations"] + plain.loc[row["model"], "gradient_operations"]
        counts = (row["update_operations"], row["update_bytes"], row["gradient_operations"], whole / of_plain)
        place = [row["model"], f"{row['parameters']:,}", str(row["batch_size"]), row["optimizer"]]
        rows.append([*place, *(number(count) for count in counts)])
    headers = [
        words("model"),
        words("parameters"),
        words("batch size"),
        words("optimizer"),
        words("update, operations per parameter"),
        words("update, bytes per parameter"),
        words("gradient, operations per parameter"),
        words("whole step / plain SGD's"),
    ]
    caption = words(
        "Counted in the traced graph, the same on every machine: floating-point operations as TensorFlow's profiler counts them, "
        "and the bytes of gradients and variables that an update reads and writes. Gradient: forward and backward pass on one "
        "batch. Unknown where a loop or a branch is part of it: the profiler doesn't look into them."
    )
    title = operations_words(operations, plain)
    return Table("operations", title, headers, rows, caption, operations, frozenset({1, 2, 4, 5, 6, 7}), folded=True)


def operations_words(operations: pd.DataFrame, plain: pd.DataFrame) -> str:
    """How many times plain SGD's operations Adam's update and whole step take."""
    adam = operations[operations["optimizer"] == ADAM].set_index("model")
    if adam.empty:
        return words("Operations of an update")
    update = adam["update_operations"] / plain["update_operations"].reindex(adam.index)
    whole, of_plain = (table["update_operations"] + table["gradient_operations"] for table in (adam, plain))
    step = whole / of_plain.reindex(adam.index)
    return words(
        "Adam's update takes {least} to {most} times the operations of plain SGD's, a whole step {step_least} to {step_most} "
        "times",
        least=number(update.min()),
        most=number(update.max()),
        step_least=number(step.min()),
        step_most=number(step.max()),
    )


def time_figure(evidence: Evidence, ratios: pd.DataFrame) -> Figure:
    """Time of a whole step relative to plain SGD's, one panel per model.

    Args:
        ratios: rows of :func:`summarize_step_cost`, models by size.
    """
    models = distinct(ratios["model"])
    shown = ratios[ratios["optimizer"] != PLAIN]
    order = evidence.optimizers_in(shown)
    figure, axes = new_row_figure(len(models), 1.95, order, margin=0.2, gap=0.15)
    for panel, model in zip(axes, models, strict=True):
        on_model = shown[shown["model"] == model]
        panel.axvline(1, color=GRAY, linewidth=0.9)
        draw_rows(panel, on_model, order, "step_ratio", "step_low", "step_high")
        limit_ratios(panel, shown[["step_ratio", "step_low", "step_high"]])
        panel.set_title(f"{model}, {on_model['parameters'].iloc[0]:,}")
        panel.set_xlabel(words("time / plain SGD's"))
    takeaway = time_words(shown, models)
    caption = words(
        "Time of a whole step, forward and backward pass included, measured serially, over plain SGD's in the same round: "
        "geometric mean over n = {n} rounds with the 95 % t interval of the logarithms; left of the line is cheaper, an interval "
        "wholly right of it clearly costlier. One panel per model, with its trainable parameters.",
        n=int(shown["n"].max()),
    )
    return finish(figure, "step-cost", takeaway=takeaway, caption=caption, data=ratios)


def time_words(shown: pd.DataFrame, models: list[str]) -> str:
    """Adam's ratio (or the largest, without Adam), and how many optimizers are clearly slower than plain SGD."""
    name = ADAM if (shown["optimizer"] == ADAM).any() else str(shown.loc[shown["step_ratio"].idxmax(), "optimizer"])
    times, slower = [], []
    for model in models:
        on_model = shown[shown["model"] == model].set_index("optimizer")
        if name in on_model.index:
            row = on_model.loc[name]
            value = interval(row["step_ratio"], row["step_low"], row["step_high"], int(row["n"]))
            times.append(words("{value} on {where}", value=value, where=model))
        count = int((on_model["step_low"] > 1).sum())
        slower.append(words("{n} of {of} on {where}", n=count, of=len(on_model), where=model))
    return words(
        "A whole step of {optimizer} takes {times} times as long as plain SGD's; optimizers clearly slower than plain SGD: "
        "{slower}",
        optimizer=optimizer_title(name),
        times=joined(times),
        slower=joined(slower),
    )


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
        step = interval(row["step_ratio"], row["step_low"], row["step_high"], row["n"])
        cells = [
            row["model"],
            f"{row['parameters']:,}",
            f"{row['batch_size']:,}",
            row["optimizer"],
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
        peak = words(
            "The device's peak is the median over rounds, of what an optimizer's training takes beside the data: weights, its "
            "state, and what an update needs."
        )
        caption = f"{caption} {peak}"
    return Table(
        "step-costs",
        words("All costs of a step as numbers"),
        headers,
        rows,
        caption,
        table,
        frozenset({1, 2, 4, 6, 7}),
        folded=True,
    )
