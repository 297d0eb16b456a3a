"""The first screen says what the tables say: one figure an arm."""

from __future__ import annotations

import pytest

from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.first_screen import COUNTS, answer
from support.comparison_fixture import SEEDS
from support.report_evidence import changed, evidence_of, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def figures_of(evidence: Evidence) -> list[Figure]:
    return [block for block in answer(evidence).blocks if isinstance(block, Figure)]


def test_one_figure_an_arm_with_adams_verdicts_as_takeaway(evidence: Evidence) -> None:
    figures = figures_of(evidence)
    assert [figure.identity for figure in figures] == ["answer-tuned", "answer-default"]
    for figure, arm in zip(figures, ("Tuned", "Default"), strict=True):
        assert figure.takeaway.startswith(arm) and COUNTS[Verdict.BETTER].format(n=2) in figure.takeaway
        assert values_of(figure.takeaway) == ["adam", "momentum", 2, 2]
        assert SEEDS in values_of(figure.caption)
        assert set(figure.data["first"]) == {"sgd", "adam", "rmsprop"}
        assert all(f">{name}<" in figure.svg for name in ("up", "down", "adam", "sgd"))
        assert (">rmsprop †<" if arm == "Tuned" else ">rmsprop<") in figure.svg


def test_takeaways_follow_the_verdicts(evidence: Evidence) -> None:
    contrasts = evidence.comparison.contrasts.copy()
    one = (contrasts["first"] == "adam") & (contrasts["problem"] == "up")
    contrasts.loc[one, "verdict"] = "inconclusive"
    figures = figures_of(changed(evidence, contrasts=contrasts))
    _, _, found = figures[0].takeaway.split(": ")
    better, inconclusive = (COUNTS[verdict].format(n=1) for verdict in (Verdict.BETTER, Verdict.INCONCLUSIVE))
    assert values_of(found) == [1, 1] and found.index(better) < found.index(inconclusive)
    # Adam has no contrast on the first problem, on which the others are still compared.
    lacking = figures_of(changed(evidence, contrasts=contrasts[~one]))[0].takeaway
    assert values_of(lacking) == ["adam", "momentum", 2, 1, 1]
    better, untested = (COUNTS[verdict].format(n=1) for verdict in (Verdict.BETTER, Verdict.NOT_TESTED))
    assert lacking.index(better) < lacking.index(untested)
