"""The learning rate that each optimizer was tuned to, and what finding it cost."""

from __future__ import annotations

import pandas as pd

from descentlab.experiment.operations import REPEATED
from descentlab.i18n.wording import words
from descentlab.optimizers.arms import Arm
from descentlab.report.blocks import Evidence, Table, number


def effective_rates_table(evidence: Evidence) -> Table | None:
    """Learning rate times size of an update, of every arm; None where sizes were not measured."""
    sizes = evidence.measurement("operations")
    ours = sizes[sizes["model"].isin(list(evidence.plan.problems))] if len(sizes) else sizes
    if ours.empty:
        return None
    chosen = {(entry["problem"], entry["optimizer"]): entry["learning_rate"] for entry in evidence.selections}
    rows, data = [], []
    for row in ours.to_dict("records"):
        planned = evidence.plan.optimizers.get(row["optimizer"])
        if planned is None:
            continue
        rates = (planned.default_learning_rate, chosen.get((row["model"], row["optimizer"])))
        effective = [float("nan") if rate is None else rate * row["update_size"] for rate in rates]
        name = evidence.marks.label(row["optimizer"], Arm.TUNED, [row["model"]])
        rows.append([row["model"], name, number(row["update_size"]), *map(number, effective)])
        data.append([row["model"], row["optimizer"], row["update_size"], *effective])
    headers = [
        words("problem"),
        words("optimizer"),
        words("update / learning rate"),
        words("default rate, effective"),
        words("tuned rate, effective"),
    ]
    caption = words(
        "Root mean square of the {n}th update on one batch's gradient at the initial weights, per unit of the learning rate, "
        "and what it is at the rates of each arm. Default rates compare effective rates as much as methods: where they are far "
        "apart, a tuned comparison says more.",
        n=REPEATED,
    )
    table = pd.DataFrame(data, columns=["problem", "optimizer", "update_size", "default", "tuned"])
    title = words("How far an update moves a weight")
    return Table("effective-rates", title, headers, rows, caption, table, frozenset({2, 3, 4}), folded=True)


def choices_table(evidence: Evidence) -> Table:
    """One row for each problem and optimizer that has a learning rate."""
    made = [entry for entry in evidence.selections if entry["learning_rate"] is not None]
    rows = [
        [
            entry["problem"],
            evidence.marks.label(entry["optimizer"], Arm.TUNED, [entry["problem"]]),
            number(entry["learning_rate"]),
            " … ".join(number(rate) for rate in dict.fromkeys(entry["plateau"])),
            " … ".join(number(rate) for rate in dict.fromkeys((entry["grid"][0], entry["grid"][-1]))),
            str(len(entry["grid"])),
            str(len(entry["grid"]) * len(entry["tuning_seeds"])),
            ", ".join(words(mark) for mark in ("edge", "cliff") if entry[mark]),
        ]
        for entry in made
    ]
    headers = [
        words("problem"),
        words("optimizer"),
        words("chosen"),
        words("as good as the best"),
        words("grid"),
        words("rates tried"),
        words("tuning runs"),
        words("alarm"),
    ]
    columns = ["problem", "optimizer", "learning_rate", "plateau", "grid", "tuning_seeds", "edge", "cliff"]
    caption = words(
        "The chosen learning rate is the middle of those that are as good as the best within the margin, of two the lower; a "
        "grid grows while they reach its end."
    )
    title = words("What was chosen, and what it cost")
    data = pd.DataFrame(made, columns=columns).astype({name: str for name in columns if name != "learning_rate"})
    return Table("choices", title, headers, rows, caption, data, frozenset({2, 5, 6}), folded=True)
