"""The learning rate that each optimizer was tuned to, and what finding it cost."""

from __future__ import annotations

import pandas as pd

from descentlab.i18n.wording import words
from descentlab.report.blocks import Evidence, Table, number


def choices_table(evidence: Evidence) -> Table:
    """One row for each problem and optimizer that has a learning rate."""
    made = [entry for entry in evidence.selections if entry["learning_rate"] is not None]
    rows = [
        [
            entry["problem"],
            entry["optimizer"],
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
