"""The section on when Adam ends better: its counts, its order, and no word on traits below fifteen problems."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from descentlab.analysis.advantages import LEAST_PROBLEMS
from descentlab.experiment.traits import TRAITS
from descentlab.report.sections import Evidence
from descentlab.report.sections.when import count_words, when
from support.report_evidence import evidence_of, found, table_named, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    plain = evidence_of()
    traits = pd.DataFrame([{"problem": name, **dict.fromkeys(TRAITS, 0.25)} for name in plain.plan.problems])
    return dataclasses.replace(plain, measured={"traits": traits})


def test_without_the_measurement_there_is_no_section(evidence: Evidence) -> None:
    assert when(dataclasses.replace(evidence, measured={})) is None


def test_a_row_a_problem_the_largest_advantage_first(evidence: Evidence) -> None:
    table = table_named(found(when(evidence)), "when")
    contrasts = evidence.comparison.contrasts
    pair = contrasts[
        (contrasts["first"] == "adam") & (contrasts["second"] == "sgd") & (contrasts["arm"] == evidence.plan.main_arm)
    ]
    advantage = (pair["difference_mean"] / pair["margin"]).to_numpy()
    shown = [float(str(values_of(row[1])[0])) for row in table.rows]
    assert shown == pytest.approx(sorted(advantage, reverse=True), rel=0.01)
    assert {cell for row in table.rows for cell in row[3:]} == {"0.25"}
    # Problems in all; the rest of the sentence counts verdicts, and says from how many problems traits are told of.
    numbers = values_of(table.title)
    assert len(pair) in numbers and numbers[-1] == LEAST_PROBLEMS


def test_counts_are_those_of_the_verdicts() -> None:
    verdicts = ["better", "better", "negligible", "identical", "worse", "inconclusive", "not tested"]
    found = pd.DataFrame({"verdict": verdicts})
    # Of nine problems one has no pair that finished, and two have no contrast.
    said = values_of(count_words(found, 9, "Adam", "plain SGD"))
    assert [value for value in said if isinstance(value, float)] == [9, 2, 2, 1, 1, 3]
    assert values_of(count_words(found[:6], 6, "Adam", "plain SGD"))[-1] == 1  # nothing untested, nothing said of it
