"""The first screen says what the tables say: one figure an arm, one recommendation a reader."""

from __future__ import annotations

import pandas as pd
import pytest

from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.first_screen import answer, recommendations
from support.comparison_fixture import generated_runs
from support.report_evidence import changed, evidence_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def figures_of(evidence: Evidence) -> list[Figure]:
    return [block for block in answer(evidence).blocks if isinstance(block, Figure)]


def test_one_figure_an_arm_with_adams_verdicts_as_takeaway(evidence: Evidence) -> None:
    figures = figures_of(evidence)
    assert [figure.identity for figure in figures] == ["answer-tuned", "answer-default"]
    assert figures[0].takeaway == "Tuned rates: Adam against SGD with momentum on 2 problems: better on 2"
    assert figures[1].takeaway == "Default rates: Adam against SGD with momentum on 2 problems: better on 2"
    for figure in figures:
        assert "n = up to 6 pairs" in figure.caption
        assert set(figure.data["first"]) == {"sgd", "adam", "rmsprop"}
        assert all(f">{name}<" in figure.svg for name in ("up", "down", "adam", "rmsprop", "sgd"))


def test_takeaways_follow_the_verdicts(evidence: Evidence) -> None:
    contrasts = evidence.comparison.contrasts.copy()
    one = (contrasts["first"] == "adam") & (contrasts["problem"] == "up")
    contrasts.loc[one, "verdict"] = "inconclusive"
    figures = figures_of(changed(evidence, contrasts=contrasts))
    assert figures[0].takeaway.endswith("better on 1 and inconclusive on 1")
    second_alone = changed(evidence, contrasts=contrasts[~one])  # the others are still compared on the first problem
    assert figures_of(second_alone)[0].takeaway == "Tuned rates: Adam against SGD with momentum on down: better"


def test_recommendations_for_three_readers(evidence: Evidence) -> None:
    lazy, tuner, last = recommendations(evidence)
    assert lazy.question == "No time to tune anything"
    assert lazy.advice.startswith("Adam: of 5 optimizers, it stays closest to the best across all 2 problems.")
    assert "is 0 margins behind" in lazy.advice
    assert lazy.evidence[0] == "On up it has the best mean validation metric itself"
    assert tuner.question == "I tune the learning rate"
    assert any(
        line.startswith("SGD with momentum: ") and "margins behind on its worst" in line for line in tuner.evidence
    )
    assert last.advice == "With tuned rates, one optimizer stands alone on every problem."
    assert last.evidence[0] == "up: Adam, indistinguishable from 0 of 4 others; Adam is the leader"


def test_the_advice_follows_the_runs() -> None:
    runs = generated_runs(0)
    sign = runs["higher_is_better"].map({True: 1, False: -1})
    worse = (runs["optimizer"] == "adam") & (runs["phase"] == "final") & (runs["problem"] == "up")
    for column in ("val_metric", "test_metric"):
        runs.loc[worse, column] -= 0.4 * sign[worse]
    lazy, *_ = recommendations(evidence_of(runs))
    # Adam is now 0.3 of accuracy behind on one problem; momentum and sgd 0.1 on the other, within noise of each other.
    assert not lazy.advice.startswith("Adam")
    assert any(line.startswith("Adam: ") and line.endswith("on its worst, up") for line in lazy.evidence)


def test_of_one_problem_it_is_said_without_counting(evidence: Evidence) -> None:
    def only_up(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["problem"] == "up"].copy()

    shortfalls, contrasts = only_up(evidence.comparison.shortfalls), only_up(evidence.comparison.contrasts)
    one = changed(evidence, shortfalls=shortfalls, contrasts=contrasts)
    assert figures_of(one)[0].takeaway == "Tuned rates: Adam against SGD with momentum on up: better"
    lazy, _, last = recommendations(one)
    assert lazy.advice == "Adam: of 5 optimizers, it has the best mean validation metric."
    assert all(line.endswith(" margins behind") for line in lazy.evidence)
    assert [line.split(":")[0] for line in lazy.evidence] == ["Plain SGD", "SGD with momentum"]
    assert last.advice == "With tuned rates, one optimizer stands alone."
    shortfalls["high"] = 0.1
    assert recommendations(changed(one, shortfalls=shortfalls))[-1].advice == (
        "With tuned rates, it is unclear which is best."
    )


def test_problems_with_and_without_a_clear_best_are_counted(evidence: Evidence) -> None:
    shortfalls = evidence.comparison.shortfalls.copy()
    shortfalls.loc[shortfalls["problem"] == "up", "high"] = 0.1
    assert recommendations(changed(evidence, shortfalls=shortfalls))[-1].advice == (
        "With tuned rates, one optimizer stands alone on 1 of 2 problems; elsewhere it is unclear which is best."
    )
    assert recommendations(changed(evidence, shortfalls=shortfalls.assign(high=0.1)))[-1].advice == (
        "With tuned rates, it is unclear which is best on any of 2 problems."
    )


def test_an_arm_that_nobody_finished_recommends_nothing() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["phase"] == "final") & (runs["arm"] == "default"), "status"] = "diverged"
    lazy, tuner, _ = recommendations(evidence_of(runs))
    assert lazy.advice == "Nothing can be recommended: no optimizer finished every run of this arm."
    assert tuner.advice.startswith("Adam: ")
