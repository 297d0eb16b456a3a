"""What the batch size changes: overfitting at the same training loss, updates and time to a target, and memory."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from descentlab.analysis.statistics.intervals import Interval, ratio_interval, t_interval
from descentlab.i18n.wording import counted, message, words
from descentlab.report.blocks import Evidence, Figure, Section, Table, interval_text, number
from descentlab.report.drawing import finish
from descentlab.report.plotting import GRAY, new_figure
from descentlab.report.sections.batch_sizes import draw_seeds, draw_sizes, intervals_by_size, scale_logarithmically

MINI_BATCH = 16  # the batch size that the claim compares full batch with
SMALL_BATCH = 64  # of smaller ones, the gradients take a good part of the memory

OVERFITTING = {
    "less": message("mini-batches overfit less"),
    "more": message("mini-batches overfit more"),
    "unclear": message("no clear difference"),
}


class GapComparison(NamedTuple):
    """Who overfits more, the full batch or smaller ones.

    Attributes:
        size: the batch size that stands for the smaller ones.
        difference: full batch's gap minus that of ``size``.
        judged: whether ``size`` overfits ``less`` or ``more``, by the interval of the difference, or it is ``unclear``.
        sizes: how many batch sizes are smaller than the full one.
        less: how many of them overfit clearly less.
        more: how many of them overfit clearly more.
    """

    size: int
    difference: Interval
    judged: str
    sizes: int
    less: int
    more: int


def batches(evidence: Evidence) -> Section | None:
    """Gap, updates, time and memory by batch size, as far as they were measured."""
    compared = evidence.measurement("batch_size")
    memory = evidence.measurement("memory")
    blocks: list[Figure | Table] = []
    if len(compared):
        blocks += [*([gap_figure(compared)] if compared["reached"].any() else []), speed_figure(compared)]
    memory = memory[memory["accumulated"] == 1] if len(memory) else memory
    if len(memory) and memory["peak_bytes"].notna().any():
        blocks.append(memory_figure(memory))
    if len(compared):
        blocks.append(batch_table(compared))
    return Section("batches", words("One example, a batch, or all of them?"), blocks) if blocks else None


def gap_differences(table: pd.DataFrame) -> dict[int, Interval]:
    """Full batch's gap minus each smaller batch's, paired by seed; positive if the smaller batch overfits less."""
    gaps = table.pivot(index="seed", columns="batch_size", values="gap_at_target")
    full = max(gaps)
    return {int(size): t_interval((gaps[full] - gaps[size]).to_numpy()) for size in sorted(gaps) if size != full}


def gap_figure(table: pd.DataFrame) -> Figure:
    """Test minus training loss at the target training loss, and its paired difference to full batch."""
    full, differences = int(table["batch_size"].max()), gap_differences(table)
    figure, axes = new_figure(2, 3.3, 2.6, gap=0.85)
    draw_seeds(axes[0], table, "gap_at_target", "seed")
    draw_sizes(axes[0], intervals_by_size(table, "gap_at_target"), full)
    axes[0].set_ylabel(words("test − training loss (lower is better)"))
    axes[1].axhline(0, color=GRAY, linewidth=0.9)
    draw_sizes(axes[1], differences, None)
    axes[1].set_xlim(axes[0].get_xlim())
    axes[1].set_ylabel(words("full-batch gap minus this one's"))
    takeaway = gap_words(compare_gaps(differences))
    missed = counted(
        int((~table["reached"]).sum()),
        "{n} of {of} runs never reached that loss and is left out.",
        "{n} of {of} runs never reached that loss and are left out.",
        of=len(table),
    )
    caption = words(
        "Plain SGD on digits, perceptron, each batch size with its own rate, read where the training loss falls to {loss}. "
        "Left: mean and 95 % t interval over n = {n} seeds, thin lines are seeds. Right: paired by seed; above 0 the smaller "
        "batch overfits less. All: the full training set of {full:,}. {missed}",
        loss=number(float(table.loc[table["reached"], "train_loss"].iloc[0])),
        n=table["seed"].nunique(),
        full=full,
        missed=missed,
    )
    return finish(figure, "batch-gap", takeaway=takeaway, caption=caption, data=table)


def compare_gaps(differences: dict[int, Interval]) -> GapComparison | None:
    """Full batch against batches of 16 (or the smallest), and against how many sizes; None if no pair got that far."""
    size = MINI_BATCH if MINI_BATCH in differences else min(differences, default=0)
    if size not in differences or differences[size].n == 0:
        return None
    judged = {
        smaller: "less" if difference.low > 0 else "more" if difference.high < 0 else "unclear"
        for smaller, difference in differences.items()
    }
    verdicts = list(judged.values())
    return GapComparison(
        size, differences[size], judged[size], len(verdicts), verdicts.count("less"), verdicts.count("more")
    )


def gap_words(compared: GapComparison | None) -> str:
    """Whether the full batch overfits more than smaller ones, as a sentence."""
    if compared is None:
        return words(
            "Gap between test and training loss: the full batch and mini-batches never reached the same training loss"
        )
    return words(
        "At the same training loss, the full batch's gap minus that of batches of {size} is {value}: {judged}; of {sizes} "
        "smaller batch sizes, {less} overfit clearly less than the full batch, {more} clearly more",
        **compared._asdict() | {"judged": words(OVERFITTING[compared.judged])},
        value=interval_text(compared.difference, signed=True),
    )


def speed_figure(table: pd.DataFrame) -> Figure:
    """Updates to the target, time per update, and their product, against batch size."""
    full = int(table["batch_size"].max())
    timed = table.assign(seconds=table["updates"] * table["update_microseconds"] * 1e-6)
    missed = frozenset(int(size) for size in table.loc[~table["reached"], "batch_size"])
    labels = {
        "updates": words("updates to the target"),
        "update_microseconds": words("microseconds per update"),
        "seconds": words("seconds to the target"),
    }
    figure, axes = new_figure(len(labels), 2.3, 2.4, gap=0.85)
    for panel, (column, label) in zip(axes, labels.items(), strict=True):
        # The time of an update is measured once per batch size, so it has no interval.
        rows = timed.drop_duplicates("batch_size") if column == "update_microseconds" else timed
        if column != "update_microseconds":
            draw_seeds(panel, rows, column, "seed")
        draw_sizes(
            panel, intervals_by_size(rows, column), full, missed if column != "update_microseconds" else frozenset()
        )
        scale_logarithmically(panel, rows[column], label)
    takeaway = speed_words(timed)
    caption = words(
        "Plain SGD on digits, perceptron, up to a training loss of {loss}: mean and 95 % t interval over n = {n} seeds, thin "
        "lines are seeds; a run that missed counts as its budget, hollow where any did. The time of an update, forward and "
        "backward pass included, is measured separately in one stretch of training, so it has no interval; seconds are the "
        "product, with the interval of the updates.",
        loss=number(float(table["train_loss"].min())),
        n=table["seed"].nunique(),
    )
    return finish(figure, "batch-speed", takeaway=takeaway, caption=caption, data=table)


def soonest(timed: pd.DataFrame) -> int | None:
    """The batch size that reaches the target first, among those that do with every seed."""
    reached = timed.groupby("batch_size")["reached"].all()
    seconds = timed.groupby("batch_size")["seconds"].mean()[reached]
    return None if seconds.empty else int(seconds.idxmin())


def speed_words(timed: pd.DataFrame) -> str:
    """Updates and time of the smallest and of the full batch, and which size reaches the target first."""
    updates, seconds = intervals_by_size(timed, "updates"), intervals_by_size(timed, "seconds")
    clock = intervals_by_size(timed.drop_duplicates("batch_size"), "update_microseconds")
    small, full = min(updates), max(updates)
    first, last = (interval_text(updates[size]) for size in (small, full))
    best = soonest(timed)
    text = words(
        "From batches of {small} to all {full:,} examples, updates to the target go from {first} to {last}, the time of each "
        "from {fast} to {slow} µs",
        small=small,
        full=full,
        first=first,
        last=last,
        fast=number(clock[small].mean),
        slow=number(clock[full].mean),
    )
    if best is None:
        return words("{text}; no batch size reaches it with every seed", text=text)
    value = interval_text(seconds[best])
    winner = words("all {n:,} at once", n=full) if best == full else words("batches of {size}", size=best)
    return words("{text}; soonest: {who}, seconds {value}", text=text, who=winner, value=value)


def memory_figure(table: pd.DataFrame) -> Figure:
    """Peak memory and time of one update of the slides' convolutional network, against batch size."""
    scaled = table.assign(megabytes=table["peak_bytes"] / 1e6, milliseconds=table["update_microseconds"] / 1e3)
    labels = {"megabytes": words("peak memory, MB"), "milliseconds": words("milliseconds per update")}
    figure, axes = new_figure(2, 3.3, 2.6, gap=0.85)
    for panel, (column, label) in zip(axes, labels.items(), strict=True):
        draw_seeds(panel, scaled, column, "repeat")
        draw_sizes(panel, intervals_by_size(scaled, column), None)
        scale_logarithmically(panel, scaled[column], label)
    takeaway = memory_words(table)
    caption = words(
        "One update of plain SGD on the slides' convolutional network: the most memory held during it beyond what was held "
        "before it: data, weights and the compiled update. Mean and 95 % t interval over n = {n} repeats, each in a new process; "
        "thin lines are repeats. Lower is better.",
        n=table["repeat"].nunique(),
    )
    return finish(figure, "batch-memory", takeaway=takeaway, caption=caption, data=table)


def memory_words(table: pd.DataFrame) -> str:
    """Peak memory of the largest batch, and its ratio to that of a small one."""
    peaks = table.pivot(index="repeat", columns="batch_size", values="peak_bytes").dropna()
    small, largest = SMALL_BATCH if SMALL_BATCH in peaks else min(peaks), max(peaks)
    ratio = ratio_interval(peaks[largest].to_numpy(), peaks[small].to_numpy())
    peak = t_interval(peaks[largest].to_numpy() / 1e6)
    return words(
        "Peak memory of an update on {largest:,} examples, MB: {peak}; ratio to the peak on {small:,}: {ratio}, for {times:g} "
        "times as many examples",
        largest=largest,
        peak=interval_text(peak),
        small=small,
        ratio=interval_text(ratio),
        times=largest / small,
    )


def batch_table(table: pd.DataFrame) -> Table:
    """The numbers of every batch size."""
    differences = gap_differences(table)
    gaps, updates = (intervals_by_size(table, column) for column in ("gap_at_target", "updates"))
    rows = []
    for size, group in table.groupby("batch_size"):
        difference = differences.get(int(size))
        cells = [
            None if estimate is None or estimate.n == 0 else interval_text(estimate, signed=signed)
            for estimate, signed in ((gaps[int(size)], False), (difference, True), (updates[int(size)], False))
        ]
        reached = words("{n} of {of}", n=int(group["reached"].sum()), of=len(group))
        rows.append(
            [
                f"{size:,}",
                number(float(group["learning_rate"].iloc[0])),
                reached,
                *(cell or "" for cell in cells),
                number(float(group["examples"].mean())),
                number(float(group["update_microseconds"].iloc[0])),
            ]
        )
    headers = [
        words("batch"),
        words("learning rate"),
        words("reached"),
        words("gap [95 %]"),
        words("full-batch gap minus it [95 %]"),
        words("updates [95 %]"),
        words("mean examples"),
        words("µs per update"),
    ]
    caption = words(
        "The largest batch is the full training set. Gap: test minus training loss at the same training loss, lower is better; "
        "its difference is paired by seed, and above 0 the smaller batch overfits less. n seeds."
    )
    return Table(
        "batch-table",
        words("All batch sizes as numbers"),
        headers,
        rows,
        caption,
        table,
        frozenset({0, 1, 6, 7}),
        folded=True,
    )
