"""What normalizing the gradient's magnitude does: scaled losses, rare classes, and a case where it generalizes worse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from descentlab.analysis.statistics.intervals import average_by, t_interval
from descentlab.i18n.wording import counted, joined, message, words
from descentlab.optimizers.roles import ADAGRAD, PLAIN
from descentlab.report.blocks import (
    Evidence,
    Figure,
    Section,
    distinct,
    interval,
    interval_text,
    number,
    optimizer_title,
)
from descentlab.report.drawing import draw_rows, finish, label_ends, label_rows
from descentlab.report.formatting import optimizer_label
from descentlab.report.phrases import VARIANTS
from descentlab.report.plotting import GRAY, label_room, new_figure, new_row_figure, optimizer_color, use_log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUP_TITLES = {
    "rare": message("rare classes"),
    "middle": message("classes between"),
    "frequent": message("frequent classes"),
    "all": message("all classes"),
}
DRAWN_GROUPS = ("rare", "frequent", "all")
SAME_PATH = 0.01  # of the displacements: closer paths count as the same


def magnitude(evidence: Evidence) -> Section | None:
    """The mechanism problems behind "AdaGrad normalizes the magnitude", as far as they were measured."""
    makers = (
        ("loss_scale", loss_scale_figure),
        ("imbalance", imbalance_figure),
        ("construction", construction_figure),
    )
    figures: list[Figure] = []
    for name, make in makers:
        table = evidence.measurement(name)
        if not table.empty:
            figures.append(make(table))
    return Section("magnitude", words("What normalizing the gradients does"), figures) if figures else None


def titles(optimizers: Iterable[str]) -> str:
    """Several optimizers' names in a sentence."""
    return joined([optimizer_title(name) for name in optimizers])


def mean_text(row: pd.Series, value: str) -> str:
    """The mean of column ``value`` in a row of :func:`average_by`, with its interval."""
    return interval(row[f"{value}_mean"], row[f"{value}_low"], row[f"{value}_high"], int(row["n"]))


def loss_scale_figure(table: pd.DataFrame) -> Figure:
    """How far a factor on the loss moves the training path: one panel per factor, one row per optimizer."""
    means = average_by(table, ["scale", "optimizer"], ["relative_distance"])
    scales, order = sorted(set(table["scale"])), distinct(table["optimizer"])
    labels = [optimizer_label(name) for name in order]
    figure, axes = new_row_figure(len(scales), 3.0, labels, row=0.26, margin=0.1)
    for panel, scale in zip(axes, scales, strict=True):
        on_scale = means[means["scale"] == scale]
        draw_rows(panel, on_scale, order, "relative_distance_mean", "relative_distance_low", "relative_distance_high")
        label_rows(panel, labels)
        panel.set_xlim(-0.04, 1.04)
        panel.set_title(words("loss × {factor}", factor=number(scale)))
        panel.set_xlabel(words("distance of the paths (0: the same)"))
    takeaway = scale_words(means, scales)
    caption = words(
        "The perceptron on digits, trained with constant rates that stay the same when the loss is multiplied by a factor. "
        "Distance of the weights from those of the unscaled training at the same update, divided by the sum of both "
        "displacements from the initial weights, averaged over the epochs' ends: 0 is the same path, 1 is as far apart as two "
        "paths can be (one stands still, they go opposite ways, or one diverges). Mean and 95 % t interval over n = {n} seeds, "
        "{updates} updates each; {diverged} of {runs} scaled runs diverged. A rule that divides by the gradients' history is "
        "invariant except for the constants that Keras adds to it: epsilon, and 0.1 at the start of AdaGrad's accumulator. The "
        "row with accumulator 0 has an epsilon of 1e-30 and a tenth of AdaGrad's rate.",
        n=int(means["n"].max()),
        updates=int(table["updates"].max()),
        diverged=int(table["diverged"].sum()),
        runs=len(table),
    )
    return finish(figure, "loss-scale", takeaway=takeaway, caption=caption, data=table)


def scale_words(means: pd.DataFrame, scales: list[float]) -> str:
    """Who keeps the path whatever the factor, and how far it moves for plain SGD and AdaGrad."""
    order = distinct(means["optimizer"])
    farthest = means.groupby("optimizer")["relative_distance_high"].max().fillna(np.inf)
    unmoved = [name for name in order if farthest[name] < SAME_PATH]
    factors = joined([number(scale) for scale in scales])
    parts = [
        words(
            "Multiplying the loss by {factors} leaves the path of {optimizers} unchanged",
            factors=factors,
            optimizers=titles(unmoved),
        )
        if unmoved
        else words("Multiplying the loss by {factors} leaves no optimizer's path unchanged", factors=factors)
    ]
    for scale in scales:
        on_scale = means[means["scale"] == scale].set_index("optimizer")
        named = [name for name in (PLAIN, ADAGRAD) if name in on_scale.index]
        if named:
            moved = [
                words(
                    "{optimizer}'s by {distance}",
                    optimizer=optimizer_title(name),
                    distance=mean_text(on_scale.loc[name], "relative_distance"),
                )
                for name in named
            ]
            parts.append(words("a factor of {factor} moves {paths}", factor=number(scale), paths=joined(moved)))
    return "; ".join(parts)


def imbalance_figure(table: pd.DataFrame) -> Figure:
    """Loss of rare and of frequent classes against updates, one panel per group of classes."""
    curves = average_by(table, ["group", "optimizer", "updates"], ["loss"])
    groups = [group for group in DRAWN_GROUPS if (curves["group"] == group).any()]
    room = label_room(distinct(table["optimizer"]))
    figure, axes = new_figure(len(groups), 1.55, 2.5, right=room, gap=room + 0.25, share_y=True)
    for panel, group in zip(axes, groups, strict=True):
        panel.set_title(words(GROUP_TITLES[group]))
        panel.set_xlabel(words("updates"))
    axes[0].set_ylabel(words("training loss (lower is better)"))
    draw_losses(axes, [curves[curves["group"] == group] for group in groups])
    updates = int(curves["updates"].max())
    last = curves[curves["updates"] == updates]
    named = [group for group in ("rare", "frequent") if group in groups]
    ends = [end_words(last, group) for group in named]
    both = words("{first}; that of {second}", first=ends[0], second=ends[1]) if len(ends) > 1 else ends[0]
    takeaway = words("After {updates} full-batch updates, the loss of {ends}", updates=updates, ends=both)
    sizes = []
    for row in table.drop_duplicates("group").to_dict("records"):
        if row["group"] in named:
            group = words(GROUP_TITLES[str(row["group"])])
            sizes.append(
                words("{classes} {group} with {n} examples", classes=row["classes"], group=group, n=row["n_examples"])
            )
    rates = [
        f"{optimizer_label(row['optimizer'])} {number(row['learning_rate'])}"
        for row in table.drop_duplicates("optimizer").to_dict("records")
    ]
    caption = words(
        "Softmax regression on inputs that say nothing about the class; the k-th most frequent class has a share proportional "
        "to 1/k ({sizes}). Every update uses all examples, so plain SGD is gradient descent here. Mean training loss, bands are"
        " 95 % t intervals, n = {n} seeds. Constant rates, each the best of an equally long half-decade grid by the loss of all"
        " classes at the end, with another seed: {rates}. Rates at which that loss is ever above the start's are not chosen: "
        "such steps throw the frequent classes far off. Update 0 is drawn left of 1.",
        sizes=joined(sizes),
        n=int(curves["n"].max()),
        rates=joined(rates),
    )
    return finish(figure, "imbalance", takeaway=takeaway, caption=caption, data=curves)


def draw_losses(axes: list[Axes], panels: list[pd.DataFrame]) -> None:
    """Draw mean losses with their bands against updates, on logarithmic axes and with one loss axis for all panels.

    Args:
        panels: the rows of :func:`average_by` for each of ``axes``, updates ascending.
    """
    means = pd.concat(panels)["loss_mean"]
    positive = means[means > 0]
    for panel, curves in zip(axes, panels, strict=True):
        for name, line in curves.groupby("optimizer", sort=False):
            x, color = line["updates"].clip(lower=0.5), optimizer_color(str(name))
            panel.plot(x, line["loss_mean"], color=color, linewidth=1.8, zorder=3, gid=f"linename-{name}--")
            panel.fill_between(x, line["loss_low"], line["loss_high"], color=color, alpha=0.15, linewidth=0, zorder=1)
        panel.set_ylim(positive.min() / 1.5, positive.max() * 1.5)
        use_log_scale(panel, "x")
        use_log_scale(panel, "y")
    # Names are placed by the axis, so its limits must be set first.
    for panel, curves in zip(axes, panels, strict=True):
        last = curves[curves["updates"] == curves["updates"].max()]
        label_ends(
            panel, {str(row["optimizer"]): (row["updates"], row["loss_mean"]) for row in last.to_dict("records")}
        )


def end_words(last: pd.DataFrame, group: str) -> str:
    """Who has the lowest and who the highest loss on a group of classes at the end."""
    in_group = last[last["group"] == group].reset_index(drop=True)
    low, high = in_group.loc[in_group["loss_mean"].idxmin()], in_group.loc[in_group["loss_mean"].idxmax()]
    fields = {
        "group": words(GROUP_TITLES[group]),
        "best": optimizer_title(low["optimizer"]),
        "least": mean_text(low, "loss"),
        "worst": optimizer_title(high["optimizer"]),
        "most": mean_text(high, "loss"),
    }
    if len(in_group) == 1:
        return words("{group} is lowest with {best} ({least})", **fields)
    return words("{group} is lowest with {best} ({least}) and highest with {worst} ({most})", **fields)


def construction_figure(table: pd.DataFrame) -> Figure:
    """Test error against the share of the rarer class: one panel per variant, one row per optimizer."""
    variants, order = distinct(table["variant"]), distinct(table["optimizer"])
    means = average_by(table, ["variant", "optimizer"], ["test_error"])
    share = float(table["negative_share"].mean())
    figure, axes = new_row_figure(len(variants), 2.3, order, row=0.26, margin=0.1, share_x=True)
    for panel, variant in zip(axes, variants, strict=True):
        panel.axvline(share, color=GRAY, linewidth=1.2, linestyle=(0, (4, 2)))
        on_variant = means[means["variant"] == variant]
        draw_rows(panel, on_variant, order, "test_error_mean", "test_error_low", "test_error_high")
        panel.set_title(words(VARIANTS[variant]))
        panel.set_xlabel(words("test error (lower is better)"))
        panel.set_xlim(-0.03, max(float(table["test_error"].max()), share) + 0.05)
    parts = [f"{words(VARIANTS[variant])}: {error_words(table, variant)}" for variant in variants]
    takeaway = words("On the construction of Wilson et al., {parts}", parts="; ".join(parts))
    caption = words(
        "Least squares from zero weights on sparse features, one of which is the label itself (Wilson et al. 2017, section 3); "
        "{examples} training examples, {updates} updates, rates that decay to zero, a training error of at most {trained} at "
        "the end. Dashed: the mean share of the rarer class among the test examples, which is the error of assigning all of "
        "them to the more frequent class. The construction requires full batches and an AdaGrad accumulator that starts at 0; "
        "each other panel breaks one condition. Keras starts the accumulator at 0.1, which affects AdaGrad alone. Mean and 95 %"
        " t interval over n = {n} seeds.",
        examples=int(table["n_examples"].max()),
        updates=int(table["updates"].max()),
        trained=number(float(table["train_error"].max())),
        n=int(means["n"].max()),
    )
    return finish(figure, "construction", takeaway=takeaway, caption=caption, data=table)


def error_words(table: pd.DataFrame, variant: str) -> str:
    """Who makes no error in a variant, who errs on exactly the rarer class's share, and the others' mean errors."""
    on_variant = table[table["variant"] == variant]
    without_error, majority, others = [], [], []
    for name, rows in on_variant.groupby("optimizer", sort=False):
        if (rows["test_error"] == 0).all():
            without_error.append(str(name))
        elif (rows["test_error"] == rows["negative_share"]).all():
            majority.append(str(name))
        else:
            estimate = t_interval(rows["test_error"].to_numpy())
            share = interval_text(estimate)
            others.append(words("{optimizer} errs on {share}", optimizer=optimizer_title(str(name)), share=share))
    parts = []
    if majority:
        estimate = t_interval(on_variant.drop_duplicates("seed")["negative_share"].to_numpy())
        parts.append(
            counted(
                len(majority),
                "{optimizers} errs on exactly the rarer class's share ({share})",
                "{optimizers} err on exactly the rarer class's share ({share})",
                optimizers=titles(majority),
                share=interval_text(estimate),
            )
        )
    if without_error:
        parts.append(
            counted(
                len(without_error),
                "{optimizers} errs on no test example",
                "{optimizers} err on no test example",
                optimizers=titles(without_error),
            )
        )
    return joined([*parts, *others])
