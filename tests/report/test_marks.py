"""Marks: whatever a page says of a row that isn't what its arm's name says, in a sentence or a table, has the row's mark."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from descentlab.analysis.break_even import BREAK_EVEN_COLUMNS
from descentlab.analysis.ranks import RANK_COLUMNS
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.traits import TRAITS
from descentlab.optimizers.arms import SPEED_ARM
from descentlab.report.answers import write_answers
from descentlab.report.blocks import Figure, Paragraph, Table
from descentlab.report.marks import Marks, legend
from descentlab.report.page import render
from descentlab.report.sections import SECTIONS, Evidence
from descentlab.report.sections.break_even import break_even_figure, break_even_table
from descentlab.report.sections.differences import paired_differences
from descentlab.report.sections.first_screen import answer
from descentlab.report.sections.recommendations import recommendations
from support.comparison_fixture import (
    PROBLEMS,
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
    with_optimizer,
)
from support.generated_comparisons import compared
from support.report_evidence import changed, evidence_of, found, table_named, titles

# Alarms name each edge themselves; the others are on no arm: measurements, settings, rules, and what a reader chooses.
APART = {"alarms", "explorer", "models", "protocol", "glossary", "provenance", "slides_network", "cost"}
BLANK = {"float64": 1.0, "int64": 2, "str": "", "bool": False}


def on_an_edge(optimizer: str) -> list[dict[str, Any]]:
    """The generated choices, this optimizer's on an edge of its grid on every problem, and no other's."""
    return [{**made, "edge": "low" if made["optimizer"] == optimizer else ""} for made in generated_selections()]


def whole(plan: TrainingPlan, selections: list[dict[str, Any]], arm: str) -> Evidence:
    """Of one arm, with what the generated experiment is too small for: ranks, a sweep, seconds, traits."""
    runs = generated_runs(0)
    runs = runs[runs["arm"] == arm]
    comparison = compared(plan, runs, selections=selections)
    traits = pd.DataFrame([{"problem": name, **dict.fromkeys(TRAITS, 0.25)} for name in PROBLEMS])
    evidence = Evidence(plan, comparison, selections, {"traits": traits}, generated_history(runs))
    columns = ((BREAK_EVEN_COLUMNS, {"bound": "", "target": "medium"}), (RANK_COLUMNS, {"n_optimizers": 5, "p": 0.01}))
    rows = [{"problem": name, "optimizer": one, "arm": arm} for name in PROBLEMS for one in ("adam", "momentum")]
    pays, ranks = (
        pd.DataFrame([{**{name: BLANK[column.dtype] for name, column in table.items()}, **row, **more} for row in rows])
        for table, more in columns
    )
    widths = comparison.widths
    swept = pd.concat([widths, widths.assign(phase="sweep")], ignore_index=True)
    return changed(evidence, break_even=pays, ranks=ranks[:2].assign(mean_rank=[1.0, 1.0]), widths=swept)


def texts(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """The sentences of a page and the rows of its tables, each with where it stands; captions explain, and name no result."""
    for one in recommendations(evidence):
        yield from (("take", text) for text in (one.advice, *one.evidence))
    for statement in write_answers(evidence.plan, evidence.comparison, evidence.measurement("traits")):
        if statement["id"] != "alarms":
            yield statement["id"], statement["head"]
            yield from ((statement["id"], line["text"]) for line in statement["details"])
    arm = evidence.plan.main_arm
    blocks = [break_even_figure(evidence, arm), break_even_table(evidence)]
    for make in SECTIONS:
        section = None if make.__name__ in APART else make(evidence)
        blocks += [] if section is None else section.blocks  # type: ignore[arg-type]
    for block in blocks:
        if isinstance(block, Figure):
            yield block.identity, block.takeaway
        elif isinstance(block, Table):
            yield block.identity, block.title
            yield from ((block.identity, text) for text in (*block.headers, *(" | ".join(row) for row in block.rows)))
        elif isinstance(block, Paragraph) and not block.identity:
            yield "paragraph", block.text


@pytest.mark.parametrize(
    ("arm", "optimizer", "name", "mark", "places"),
    [
        (
            "tuned",
            "adam",
            r"\b[Aa]dam\b",
            "†",
            "take tuned-adam-sgd tuned-best speed speed-fastest sensitivity answer-tuned contrasts when claim-slightly-worse "
            "summary test-metric-up ranks-tuned convergence-up time-to-target-tuned time-to-target-tuned-for-speed "
            "survival-tuned profiles-tuned break-even break-even-tuned sensitivity-up choices widths best-of-k "
            "rank-stability-choices rank-stability-rankings",
        ),
        (
            "default",
            "momentum",
            r"\bmomentum\b",
            "‡",
            "take default-adam-momentum answer-default contrasts differences-default summary test-metric-up ranks-default "
            "break-even speed",
        ),
    ],
)
def test_every_sentence_and_row_that_names_a_marked_row_has_its_mark(
    arm: str, optimizer: str, name: str, mark: str, places: str
) -> None:
    plan = generated_plan(arms=[arm])
    if arm == "default":
        plan = with_optimizer(plan, optimizer, hyperparameters={"default": {"momentum": 0.9}})
    evidence = whole(plan, on_an_edge(optimizer) if arm == "tuned" else [], arm)
    said = [(where, text) for where, text in texts(evidence) if re.search(name, text)]
    assert [(where, text) for where, text in said if mark not in text and "undertuned" not in text] == []
    assert set(places.split()) <= {where for where, _ in said}


def test_a_row_of_another_arm_or_problem_has_no_mark() -> None:
    marks = Marks({("up", "tuned", "adam")}, {"momentum"})
    assert marks.label("adam", "tuned", ["up", "down"]) == marks.label("adam", SPEED_ARM, ["up"]) == "adam †"
    assert marks.label("momentum", "default", ["up"]) == "momentum ‡"
    for name, arm, problem in (
        ("adam", "tuned", "down"),
        ("adam", "default", "up"),
        ("sgd", "tuned", "up"),
        ("momentum", "tuned", "up"),
    ):
        assert marks.label(name, arm, [problem]) == name


def test_marks_are_those_of_the_plan_and_of_the_choices() -> None:
    evidence = evidence_of()
    assert set(evidence.marks.undertuned) == {(problem, "tuned", "rmsprop") for problem in PROBLEMS}
    assert set(evidence.marks.own_settings) == set()
    plan = with_optimizer(generated_plan(), "momentum", hyperparameters={"default": {"momentum": 0.9}, "tuned": {}})
    plan = with_optimizer(plan, "adam", own_learning_rate=True)
    plan = with_optimizer(plan, "sgd", hyperparameters={"default": {}, "tuned": {"weight_decay": 0.1}})
    assert set(Marks.of(plan, evidence.comparison.summary).own_settings) == {"momentum", "adam"}


def test_a_mark_is_explained_where_it_stands_and_nowhere_else() -> None:
    evidence = evidence_of()
    section = found(paired_differences(evidence))
    table = table_named(section, "contrasts")
    assert table.legend == legend("†") != "" and legend("adam") == ""
    tuned, default = (block.legend for block in section.blocks if isinstance(block, Figure))
    assert tuned == table.legend and default == ""  # beside the row of rmsprop, not in the title
    assert not any("†" in title for title in titles(section))
    assert legend("†") in render(evidence, [answer(evidence), section])
    clean = dataclasses.replace(evidence, comparison=compared(selections=on_an_edge("nobody")), selections=[])
    assert "†" not in render(clean, [answer(clean), found(paired_differences(clean))])
