"""What a step costs in time and memory, and whether fewer steps pay for dearer ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descentlab.analysis.break_even import OPPOSITE, judge
from descentlab.analysis.formatting import BOUND_SIGNS
from descentlab.analysis.step_cost import summarise_step_cost
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.measurements.step_cost import REFERENCE
from descentlab.measurements.step_loops import LARGE_MODEL, MODELS
from descentlab.report.blocks import (
    ARM_WORDS,
    Evidence,
    Figure,
    Section,
    Table,
    interval,
    number,
    optimizer_title,
    present,
)
from descentlab.report.drawing import draw_rows, finish, label_rows
from descentlab.report.plotting import label_room, new_figure, optimizer_colour, use_log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TARGET = "medium"
MOST_PANELS = 4
BOUND_MARKS = {"at most": "<", "at least": ">", "unknown": "o"}
# What the tables' cells say.
ARMS, TARGETS, JUDGED = (
    (message("default"), message("tuned"), message("extended")),
    (message("easy"), message("medium"), message("hard")),
    (message("won"), message("lost"), message("undecided")),
)
TIMED = {
    "step": (
        message("Time of a whole step, forward and backward pass included"),
        message(
            "A whole step of {optimizer} takes {times} times as long as plain SGD's; optimizers that are clearly dearer than "
            "plain SGD: {dearer}"
        ),
    ),
    "update": (
        message("Time of the update alone"),
        message(
            "The update alone of {optimizer} takes {times} times as long as plain SGD's; optimizers that are clearly dearer "
            "than plain SGD: {dearer}"
        ),
    ),
}


def cost(evidence: Evidence) -> Section | None:
    """Step and update time beside plain SGD's, bytes of state, and the break-even with the steps that are saved."""
    table = evidence.measured.get("step_cost", pd.DataFrame())
    blocks: list[Figure | Table] = []
    if len(table):
        ratios = summarise_step_cost(table).sort_values(["parameters", "model"], kind="stable")
        whole = [name for name, about in evidence.plan["optimizers"].items() if about["full_batch"]]
        batched = ratios[~ratios["optimizer"].isin(whole)]
        if present(batched.loc[batched["optimizer"] != REFERENCE, "optimizer"], evidence.optimizers):
            blocks = [time_figure(evidence, batched, what) for what in TIMED]
        pays = [figure for arm in evidence.arms if (figure := break_even_figure(evidence, arm))]
        blocks += [*pays, cost_table(evidence, table, ratios)]
        if len(evidence.comparison.break_even):
            blocks.append(break_even_table(evidence))
    return Section("cost", words("What a step costs, and whether it pays"), [*blocks]) if blocks else None


def shown_models(ratios: pd.DataFrame) -> list[str]:
    """The models that get a panel, smallest first: all where they are few, else the standard sizes."""
    models = list(dict.fromkeys(ratios["model"]))
    if len(models) <= MOST_PANELS:
        return models
    return [name for name in models if name in (*MODELS, LARGE_MODEL)] or models[-MOST_PANELS:]


def time_figure(evidence: Evidence, ratios: pd.DataFrame, what: str) -> Figure:
    """Ratios to plain SGD, a panel a model; ``what`` is step, or update: then with a panel of the state's bytes."""
    models = shown_models(ratios)
    shown = ratios[ratios["model"].isin(models) & (ratios["optimizer"] != REFERENCE)]
    # One of the set that is timed always may be a problem too, with batches of its own: those are in the table below.
    shown = shown.drop_duplicates(["model", "optimizer"])
    order = present(shown["optimizer"], evidence.optimizers)
    whole = what == "step"
    panels = len(models) + (not whole)
    figure, axes = new_figure(panels, 1.95, 0.22 * len(order) + 0.2, left=label_room(order), gap=0.15, share_y=True)
    for panel, model in zip(axes, models, strict=False):
        mine = shown[shown["model"] == model]
        panel.axvline(1, color="#888888", linewidth=0.9)
        draw_rows(panel, mine, order, f"{what}_ratio", f"{what}_low", f"{what}_high")
        limit_ratios(panel, shown[[f"{what}_ratio", f"{what}_low", f"{what}_high"]])
        panel.set_title(f"{model}, {mine['parameters'].iloc[0]:,}")
        panel.set_xlabel(words("time / plain SGD's"))
    if not whole:
        state = shown[shown["model"] == models[-1]].assign(none=np.nan)
        draw_rows(axes[-1], state, order, "state_bytes_per_parameter", "none", "none")
        axes[-1].set_xlim(-0.5, float(state["state_bytes_per_parameter"].max()) * 1.1 + 0.5)
        axes[-1].set_title(words("optimizer's state"))
        axes[-1].set_xlabel(words("bytes / parameter"))
    label_rows(axes[0], order)
    takeaway = time_words(shown, models, what)
    subject, _ = TIMED[what]
    caption = words(
        "{subject}, measured serially, over plain SGD's in the same round: geometric mean over n = {n} rounds with the 95 % t "
        "interval of the logarithms; left of the line is cheaper, an interval wholly right of it clearly dearer. Panels by "
        "model, with its trainable parameters",
        subject=words(subject),
        n=int(shown["n"].max()),
    )
    caption = (
        f"{caption}."
        if whole
        else words(
            "{panels}; on the right the optimizer's variables by trainable parameter of {model}, counted, so without interval: a "
            "float32 takes 4 bytes, and plain SGD keeps none.",
            panels=caption,
            model=models[-1],
        )
    )
    return finish(figure, f"{what}-cost", takeaway=takeaway, caption=caption, data=ratios)


def limit_ratios(axes: Axes, values: pd.DataFrame) -> None:
    """A logarithmic axis that holds 1 and every value."""
    finite = values.to_numpy()[np.isfinite(values.to_numpy())]
    low, high = min(0.9, float(finite.min(initial=1.0))), max(1.2, float(finite.max(initial=1.0)))
    axes.set_xlim(low / 1.15, high * 1.15)
    use_log_scale(axes, "x")


def time_words(shown: pd.DataFrame, models: list[str], what: str) -> str:
    """How much Adam takes (the dearest where Adam is absent), and how many optimizers are clearly dearer than plain SGD."""
    name = (
        "adam" if (shown["optimizer"] == "adam").any() else str(shown.loc[shown[f"{what}_ratio"].idxmax(), "optimizer"])
    )
    times, dearer = [], []
    for model in models:
        mine = shown[shown["model"] == model].set_index("optimizer")
        if name in mine.index:
            row = mine.loc[name]
            value = interval(row[f"{what}_ratio"], row[f"{what}_low"], row[f"{what}_high"], int(row["n"]))
            times.append(words("{value} on {where}", value=value, where=model))
        count = int((mine[f"{what}_low"] > 1).sum())
        dearer.append(words("{n} of {of} on {where}", n=count, of=len(mine), where=model))
    _, takeaway = TIMED[what]
    return words(takeaway, optimizer=optimizer_title(name), times=joined(times), dearer=joined(dearer))


def cost_table(evidence: Evidence, table: pd.DataFrame, ratios: pd.DataFrame) -> Table:
    """All times, ratios and bytes in figures: models by size, optimizers in the order of the plan."""
    order = list(dict.fromkeys([*evidence.optimizers, *ratios["optimizer"]]))
    by_size = np.lexsort(
        (ratios["optimizer"].map(order.index), ratios["batch_size"], ratios["model"], ratios["parameters"])
    )
    peaks = table.groupby(["model", "batch_size", "optimizer"])["device_peak_bytes"].median()
    on_device = bool(peaks.notna().any())
    rows = []
    for row in ratios.iloc[by_size].to_dict("records"):
        update = interval(row["update_ratio"], row["update_low"], row["update_high"], row["n"])
        step = interval(row["step_ratio"], row["step_low"], row["step_high"], row["n"])
        shown = [
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
        rows.append([*shown, *([number(peak_bytes / 1e6)] if on_device else [])])
    headers = [
        words("model"),
        words("parameters"),
        words("batch size"),
        words("optimizer"),
        words("update, µs"),
        words("to sgd's [95 %]"),
        words("step, µs"),
        words("to sgd's [95 %]"),
        words("state, bytes by parameter"),
    ]
    caption = words(
        "On {devices}, serially, in an order drawn anew for each round; microseconds are medians over n rounds, in each the "
        "median of {least} to {most} synchronised calls. Ratios: geometric means over rounds.",
        devices=joined(sorted(set(table["device"]))),
        least=table["steps"].min(),
        most=table["steps"].max(),
    )
    if on_device:
        headers.append(words("device's peak, MB"))
        peak = words("The device's peak is the median over rounds, other optimizers' state taken off.")
        caption = f"{caption} {peak}"
    return Table(
        "step-costs",
        words("All costs of a step in figures"),
        headers,
        rows,
        caption,
        table,
        frozenset({1, 2, 4, 6, 8, 9}),
        folded=True,
    )


def break_even_figure(evidence: Evidence, arm: str) -> Figure | None:
    """Ratio of seconds to the medium target, a panel a problem; below 1 time is won."""
    table = evidence.comparison.break_even
    rows = table[(table["arm"] == arm) & (table["target"] == TARGET)]
    if rows.empty:
        return None
    problems = present(rows["problem"], list(evidence.plan["problems"]))
    order = present(rows["optimizer"], evidence.optimizers)
    height, room = 0.22 * len(order) + 0.2, label_room(order)
    figure, axes = new_figure(len(problems), 1.95, height, left=room, gap=0.15, share_y=True)
    for panel, problem in zip(axes, problems, strict=True):
        mine = rows[rows["problem"] == problem]
        panel.axvline(1, color="#888888", linewidth=0.9)
        for row in mine.to_dict("records"):
            draw_ratio(panel, row, order.index(row["optimizer"]))
        limit_ratios(panel, rows[["seconds_ratio", "seconds_low", "seconds_high", "updates_ratio"]])
        label_rows(panel, order)
        panel.set_title(problem)
        panel.set_xlabel(words("seconds / plain SGD's"))
    takeaway = f"{words(ARM_WORDS[arm]).capitalize()}: {break_even_words(rows, problems)}"
    caption = words(
        "Time to the {target} target over plain SGD's: the paired ratio of updates within the budget (n = up to {seeds} "
        "seeds; a small upright line shows it alone) times the ratio of a step's cost, measured apart (n = {rounds} rounds); "
        "95 % interval of the product, its degrees of freedom by Satterthwaite. Left of the line time is won. Hollow where a "
        "run missed the target: the true ratio lies where a triangle points, a circle means that both sides missed. A step "
        "costs the same in every arm.",
        target=words(TARGET),
        seeds=rows["n_seeds"].max(),
        rounds=rows["n_rounds"].max(),
    )
    return finish(figure, f"break-even-{arm}", takeaway=takeaway, caption=caption, data=rows)


def draw_ratio(axes: Axes, row: Mapping[str, Any], y: int) -> None:
    """The ratio of seconds with its interval, hollow where it is a bound, and the ratio of updates alone."""
    colour, bound = optimizer_colour(str(row["optimizer"])), str(row["bound"])
    axes.plot([row["seconds_low"], row["seconds_high"]], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([row["updates_ratio"]], [y], marker="|", markersize=7, color=colour, linestyle="none", alpha=0.8)
    axes.plot(
        [row["seconds_ratio"]],
        [y],
        marker=BOUND_MARKS.get(bound, "o"),
        markersize=5.5,
        color=colour,
        markerfacecolor="none" if bound else colour,
        linestyle="none",
    )


def break_even_words(rows: pd.DataFrame, problems: list[str]) -> str:
    """In how many comparisons the steps saved pay, and what becomes of Adam on each problem."""
    verdicts = rows.assign(verdict=[judge(row) for row in rows.to_dict("records")])
    counts = verdicts["verdict"].value_counts()
    text = words(
        "fewer steps to the {target} target pay for dearer ones in {won} of {comparisons} with plain SGD, don't in {lost}, "
        "{undecided} undecided",
        target=words(TARGET),
        comparisons=counted(len(rows), "{n} comparison", "{n} comparisons"),
        **{verdict: int(counts.get(verdict, 0)) for verdict in JUDGED},
    )
    adam = verdicts[verdicts["optimizer"] == "adam"].set_index("problem")
    parts = []
    for problem in [problem for problem in problems if problem in adam.index]:
        row = adam.loc[problem].to_dict()
        verdict, value = words(str(row["verdict"])), ratio_words(row, "seconds")
        parts.append(words("{verdict} on {where} ({value})", verdict=verdict, where=problem, value=value))
    return words("{text}; Adam's time is {parts}", text=text, parts=joined(parts)) if parts else text


def bound_words(bound: str) -> str:
    """The sign that stands before a ratio which is a bound."""
    return words(BOUND_SIGNS[bound])


def ratio_words(row: Mapping[str, Any], name: str) -> str:
    """``≤ 0.5 [0.4, 0.6], n = 10``: the ratio of updates or of seconds with its bound."""
    value = interval(row[f"{name}_ratio"], row[f"{name}_low"], row[f"{name}_high"], row["n_seeds"])
    return bound_words(row["bound"]) + value


def break_even_table(evidence: Evidence) -> Table:
    """Steps saved times step cost, all arms and targets."""
    table = evidence.comparison.break_even
    rows = []
    for row in table.to_dict("records"):
        turned = bound_words(OPPOSITE[row["bound"]])
        reached = words("{n} / {n_sgd} of {of}", n=row["n_reached"], n_sgd=row["n_reached_sgd"], of=row["n_seeds"])
        rows.append(
            [
                row["problem"],
                words(str(row["arm"])),
                words(str(row["target"])),
                row["optimizer"],
                reached,
                ratio_words(row, "updates"),
                interval(row["step_ratio"], row["step_low"], row["step_high"], row["n_rounds"]),
                ratio_words(row, "seconds"),
                words(judge(row)),
                turned + interval(row["break_even"], row["break_even_low"], row["break_even_high"], row["n_seeds"]),
                turned
                + interval(
                    row["seconds_saved"] * 1e3,
                    row["saved_low"] * 1e3,
                    row["saved_high"] * 1e3,
                    row["n_seeds"],
                    signed=True,
                ),
                f"{row['extra_state_bytes']:,.0f}",
            ]
        )
    headers = [
        words("problem"),
        words("arm"),
        words("target"),
        words("optimizer"),
        words("reached / by sgd"),
        words("updates to sgd's"),
        words("step to sgd's"),
        words("seconds to sgd's"),
        words("time"),
        words("break-even step"),
        words("ms saved a run"),
        words("more state, bytes"),
    ]
    caption = words(
        "Ratios with 95 % intervals, n seeds for updates, rounds for steps. Seconds: the product of the first two. The "
        "break-even step is how many times plain SGD's step another may cost before what it saves in steps is gone. "
        "Milliseconds saved: mean updates within the budget times mean cost of a step, plain SGD's minus the optimizer's, the "
        "interval over seeds and rounds. State: bytes of the optimizer's variables beyond plain SGD's, counted. ≤ and ≥ where "
        "a run missed the target."
    )
    title = words("Steps saved times what a step costs, in figures")
    return Table("break-even", title, headers, rows, caption, table, frozenset({11}), folded=True)
