"""What to choose, as the tables say: one recommendation a reader."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.report.blocks import Figure
from descentlab.report.phrases import VERDICTS
from descentlab.report.sections import Evidence
from descentlab.report.sections.first_screen import answer
from descentlab.report.sections.recommendations import LEFT_OUT, Lead, find_leads, recommendations
from support.comparison_fixture import OPTIMIZERS, PROBLEMS, generated_runs
from support.report_evidence import changed, evidence_of, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def test_recommendations_for_three_readers(evidence: Evidence) -> None:
    lazy, tuner, last = recommendations(evidence)
    assert len({lazy.question, tuner.question, last.question}) == 3
    assert values_of(lazy.advice) == ["adam", len(OPTIMIZERS), len(PROBLEMS), "up", 0]
    assert values_of(lazy.evidence[0]) == ["up"]
    behind = {values_of(line)[0]: values_of(line)[1:] for line in tuner.evidence[1:]}
    assert behind["momentum"][1] == "down" and behind["momentum"][0] > 1  # margins, on its worst problem
    assert find_leads(evidence, "tuned") == [Lead(problem, "adam", level=0, others=4) for problem in PROBLEMS]
    assert values_of(last.advice) == []
    assert [values_of(line) for line in last.evidence] == [[problem, "adam", 0, 4] for problem in PROBLEMS]


def test_the_advice_follows_the_runs() -> None:
    runs = generated_runs(0)
    sign = runs["higher_is_better"].map({True: 1, False: -1})
    worse = (runs["optimizer"] == "adam") & (runs["phase"] == "final") & (runs["problem"] == "up")
    for column in ("val_metric", "test_metric"):
        runs.loc[worse, column] -= 0.4 * sign[worse]
    lazy, *_ = recommendations(evidence_of(runs))
    # Adam is now 0.3 of accuracy behind on one problem; momentum and sgd 0.1 on the other, within noise of each other.
    assert values_of(lazy.advice)[0] != "adam"
    assert any(values_of(line)[0] == "adam" and values_of(line)[-1] == "up" for line in lazy.evidence)


def test_of_one_problem_it_is_said_without_counting(evidence: Evidence) -> None:
    def only_up(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["problem"] == "up"].copy()

    regret, contrasts = only_up(evidence.comparison.regret), only_up(evidence.comparison.contrasts)
    one = changed(evidence, regret=regret, contrasts=contrasts, summary=only_up(evidence.comparison.summary))
    one = replace(one, plan=replace(evidence.plan, problems={"up": evidence.plan.problems["up"]}))
    (figure, *_) = answer(one).blocks
    assert isinstance(figure, Figure)
    takeaway = figure.takeaway
    assert values_of(takeaway) == ["adam", "momentum", "up"] and takeaway.endswith(VERDICTS[Verdict.BETTER])
    lazy, _, last = recommendations(one)
    assert values_of(lazy.advice) == ["adam", len(OPTIMIZERS)]
    assert [values_of(line)[0] for line in lazy.evidence] == ["adam", "sgd", "momentum"]  # first how often it comes out
    assert all(len(values_of(line)) == 2 for line in lazy.evidence)  # so many margins behind
    assert [lead.level for lead in find_leads(one, "tuned")] == [0] and values_of(last.advice) == []
    regret["high"] = 0.1
    unclear = changed(one, regret=regret)
    assert [lead.level for lead in find_leads(unclear, "tuned")] == [4]
    assert values_of(recommendations(unclear)[-1].advice) == []
    assert recommendations(unclear)[-1].advice != last.advice


def test_problems_with_and_without_a_clear_best_are_counted(evidence: Evidence) -> None:
    regret = evidence.comparison.regret.copy()
    regret.loc[regret["problem"] == "up", "high"] = 0.1
    some, none = changed(evidence, regret=regret), changed(evidence, regret=regret.assign(high=0.1))
    assert [[lead.level for lead in find_leads(one, "tuned")] for one in (some, none)] == [[4, 0], [4, 4]]
    assert values_of(recommendations(some)[-1].advice) == [1, 2]  # one stands alone on 1 of 2
    assert values_of(recommendations(none)[-1].advice) == [2]  # on any of 2 it is unclear


def test_an_arm_that_nobody_finished_recommends_nothing() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["phase"] == "final") & (runs["arm"] == "default"), "status"] = "diverged"
    lazy, tuner, _ = recommendations(evidence_of(runs))
    assert (values_of(lazy.advice), lazy.evidence) == ([], [])
    assert values_of(tuner.advice)[0] == "adam"


def test_a_problem_that_nobody_finished_is_not_counted_and_is_named() -> None:
    runs = generated_runs(0)
    lost = (runs["problem"] == "up") & (runs["phase"] == "final") & (runs["arm"] == "tuned") & (runs["seed"] == 0)
    runs.loc[lost, "status"] = "diverged"
    default, tuned, *_ = recommendations(evidence_of(runs))
    left_out = LEFT_OUT.format(problems="up")
    assert left_out not in default.evidence and left_out in tuned.evidence
    assert "up" not in values_of(tuned.advice)


def test_only_the_problems_that_are_counted_are_called_compared(evidence: Evidence) -> None:
    """Of three problems nobody finished one: the advice is on the other two."""
    tables = {}
    for name in ("summary", "regret"):
        table = getattr(evidence.comparison, name)
        third = table[table["problem"] == "up"].assign(problem="third")
        tables[name] = pd.concat([table, third], ignore_index=True) if name == "summary" else table
    plan = replace(evidence.plan, problems={**evidence.plan.problems, "third": evidence.plan.problems["up"]})
    tuned = recommendations(replace(changed(evidence, **tables), plan=plan))[1]
    assert values_of(tuned.advice)[1:3] == [len(OPTIMIZERS), len(PROBLEMS)]
    assert any("third" in line for line in tuned.evidence)
