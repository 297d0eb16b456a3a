"""Three comparisons that between them say all that a comparison can say; no training."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import Comparison
from descentlab.analysis.remarks import unpack_remarks
from descentlab.experiment.looks import Contrast, Look
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.traits import TRAITS_COLUMNS
from descentlab.optimizers.roles import ADAGRAD_FROM_ZERO
from descentlab.report.alarm_phrases import alarm_sentence
from descentlab.report.answers import write_answers
from descentlab.report.phrases import place_words, remark_words
from descentlab.report.sections.ledger import ledger_lines
from descentlab.storage.tables import empty_table
from support.comparison_fixture import (
    generated_plan,
    generated_runs,
    generated_selections,
    of_optimizers,
    with_optimizer,
    with_reference,
)
from support.generated_comparisons import compared, with_neighbors


def rows(columns: Mapping[str, Any], **others: Any) -> pd.DataFrame:
    """A row for every combination of ``columns``, with the others beside it."""
    return pd.DataFrame(
        [dict(zip(columns, values, strict=True)) for values in itertools.product(*columns.values())]
    ).assign(**others)


def generated_measurements() -> dict[str, pd.DataFrame]:
    """As little of each as its estimand reads."""
    three = {"optimizer": ["sgd", "momentum", "adagrad"]}
    starts = {"landscape": ["well", "quadratic", "rotated_quadratic"], **three, "start": range(3)}
    landscapes = rows(starts, global_basin=True, same_rate_basin=True, value=1.0).eval("start_global = start == 0")
    scaled = {"optimizer": ["sgd", "adagrad", ADAGRAD_FROM_ZERO], "seed": range(5)}
    return {
        "operations": rows(
            {"optimizer": ["sgd", "adam"]},
            model="mlp",
            parameters=4810,
            batch_size=32,
            update_operations=2.0,
            update_bytes=12.0,
            gradient_operations=100.0,
        ),
        "step_cost": rows(
            {"optimizer": ["sgd", "adam"], "round": range(2)},
            model="mlp",
            parameters=4810,
            batch_size=32,
            step_microseconds=100.0,
        ),
        "matched_gaps": rows({"batch_size": [16, 1024], "seed": range(5)}, problem="mlp", train_loss=0.1, gap=0.1),
        "composition": rows(
            {"composition": ["adagrad", "rmsprop_corrected", "momentum"], "seed": range(5)}, cosine=0.99
        ),
        "landscapes": landscapes.assign(spurious=landscapes["landscape"] == "well"),
        "minima": rows(
            {"first_seed": [0, 2], "matching": ["as_trained", "matched"]},
            problem="mlp",
            relative_distance=0.8,
            barrier=0.3,
        ).eval("second_seed = first_seed + 1"),
        "memory": pd.concat(
            rows({"repeat": range(3)}, batch_size=size, accumulated=parts, peak_bytes=2.0**20)
            for size, parts in ((64, 1), (4096, 64), (4096, 1))
        ),
        "loss_scale": rows(scaled, scale=1e-3, relative_distance=0.5),
        "imbalance": rows({**scaled, "group": ["rare", "frequent", "all"]}, updates=1, loss=1.0),
    }


def everything_went_well() -> tuple[TrainingPlan, Comparison]:
    """Every run finished, and everything was measured; Adam's two tuning seeds choose rates that end far apart."""
    plan, runs = generated_plan(), with_neighbors()
    mine = (runs["optimizer"] == "adam") & (runs["problem"] == "up") & (runs["arm"] == "tuned")
    runs.loc[mine & (runs["seed"] == 1000) & (runs["learning_rate"] == 0.001), "val_metric"] = 0.9
    runs.loc[mine & (runs["phase"] == "neighbor") & (runs["learning_rate"] == 0.001), "test_metric"] -= 0.3
    return plan, compared(plan, runs, measured=generated_measurements())


def much_went_wrong() -> tuple[TrainingPlan, Comparison]:
    """Divergences on both sides, failed and missing runs, few seeds, edges, bounds, an optimizer of the reader's own."""
    runs, plan = generated_runs(0), generated_plan(seeds={"final": 3, "most": 6, "tuning": 2})
    open_contrast = Contrast("up", "tuned", "adam", "momentum")
    look = Look(number=1, contrasts=(open_contrast,), left=(open_contrast,), unpaid=(open_contrast,))
    plan = with_optimizer(plan, "rmsprop", factory="RMSprop", hyperparameters={"tuned": {"momentum": 0.9}})
    plan = with_optimizer(plan, "adam", hyperparameters={"default": {"beta_1": 0.95}})
    plan = with_optimizer(plan, "gd", source_lines=9)
    final = runs["phase"] == "final"
    for optimizer, seeds, status in (
        ("adam", [0], "diverged"),
        ("sgd", [1, 2], "diverged"),
        ("gd", [3], "failed"),
        ("rmsprop", [4], "missing"),
    ):
        runs.loc[final & (runs["optimizer"] == optimizer) & runs["seed"].isin(seeds), "status"] = status
    runs.loc[final & (runs["optimizer"] == "sgd") & (runs["problem"] == "down"), "status"] = "diverged"
    runs.loc[(runs["phase"] == "tuning") & (runs["optimizer"] == "adam"), "val_metric"] = 0.5  # as wide as the grid
    lowest = [
        {**made, "edge": "low" if made["optimizer"] == "adam" else made["edge"]} for made in generated_selections()
    ]
    never = {"matched_gaps": generated_measurements()["matched_gaps"].assign(gap=np.nan)}
    measured = {**generated_measurements(), **never}
    return plan, compared(plan, runs, selections=lowest, measured=measured, looks=[look])


def much_is_absent() -> tuple[TrainingPlan, Comparison]:
    """Neither Adam nor momentum, nothing tuned, no optimum known, nothing measured."""
    runs, plan = generated_runs(0).assign(optimum=np.nan), generated_plan(arms=["default"])
    plan = with_reference(of_optimizers(plan, ["gd", "sgd"]), "sgd")
    runs = runs[(runs["arm"] == "default") & runs["optimizer"].isin(list(plan.optimizers))]
    return plan, compared(plan, runs, selections=[])


def shown_texts(plan: TrainingPlan, comparison: Comparison) -> list[str]:
    """Every text of a comparison that the report shows as it stands, in the language that is spoken."""
    answers = [
        text
        for answer in write_answers(plan, comparison, empty_table(TRAITS_COLUMNS))
        for text in (answer["head"], *(detail[part] for detail in answer["details"] for part in ("problem", "text")))
    ]
    claims = [
        text
        for entry in ledger_lines(comparison.claims, empty_table(TRAITS_COLUMNS))
        for text in (
            entry["reason"],
            entry["sides"],
            *(
                part
                for piece in entry["pieces"]
                for part in (place_words(piece["place"]), remark_words(piece["remarks"]))
            ),
        )
    ]
    alarms = [alarm_sentence(row) for row in comparison.alarms.to_dict("records")]
    return [
        *answers,
        *claims,
        *alarms,
        *(remark_words(unpack_remarks(text)) for text in comparison.contrasts["remarks"]),
    ]
