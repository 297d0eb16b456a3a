"""The words of codes: every code that the analysis uses has its words, and no words are left of a code that nothing uses."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any

import pytest

from descentlab.analysis.claims.judgment import ClaimVerdict
from descentlab.analysis.claims.measured_estimands import ADAGRADS, ESCAPES, GROUPS, VALLEYS
from descentlab.analysis.remarks import name_place, pack_remarks, remark, unpack_remarks
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.analysis.targets import TARGETS
from descentlab.experiment.provenance import PACKAGE
from descentlab.optimizers import roles
from descentlab.optimizers.arms import LOGGED_ARM, SPEED_ARM, Arm
from descentlab.report import alarm_phrases
from descentlab.report.phrases import (
    ARM_WORDS,
    CELLS,
    LACKING,
    PLACES,
    REASONS,
    REMARKS,
    VERDICTS,
    contrast_note,
    place_words,
    reason_words,
    remark_words,
    verdict_words,
)


def constants(room: str, function: str) -> Iterator[str]:
    """The texts given to a function anywhere in a room, as its first argument or, of ``missing``, as any."""
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
                arguments = node.args if function == "missing" else node.args[:1]
                yield from (a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str))
                yield from (getattr(roles, a.id) for a in arguments if isinstance(a, ast.Name) and hasattr(roles, a.id))


def test_every_code_of_the_analysis_has_words_and_no_words_are_left_over() -> None:
    used = set(constants("analysis", "remark"))
    of_both = {f"{code}{constants}" for code in ("scaled loss", *GROUPS.values()) for constants in ADAGRADS.values()}
    by_table = {*of_both, *VALLEYS.values(), *ESCAPES}
    in_loops = {"update", "whole step", "batch", "accumulated batch"}
    from_tables = by_table | in_loops
    special = {"lacks", "claim"}  # put together from their values
    assert used | from_tables == {*REMARKS, *PLACES, *REASONS, *special}
    assert set(constants("analysis", "missing")) == set(LACKING)


def test_every_unknown_of_an_imported_experiment_has_a_sentence() -> None:
    asked = set(constants("tracking/imported", "unknown"))
    assert asked and asked <= set(alarm_phrases.PHRASES)


def test_every_verdict_and_every_arm_has_words() -> None:
    assert set(VERDICTS) == {*Verdict, *ClaimVerdict}
    assert {*Arm, LOGGED_ARM, SPEED_ARM} == set(ARM_WORDS)
    assert set(TARGETS) <= set(CELLS)


def test_remarks_are_the_same_after_a_table_held_them() -> None:
    remarks = [remark("wins", won=2, decided=6), remark("counted")]
    assert unpack_remarks(pack_remarks(remarks)) == remarks
    assert (pack_remarks([]), unpack_remarks("")) == ("", [])


def test_a_place_has_one_name_whatever_the_order_of_its_values() -> None:
    assert name_place({"share": 0.1, "problem": "mlp", "code": "share"}) == name_place(
        remark("share", problem="mlp", share=0.1)
    )
    assert name_place(remark("share", problem="mlp", share=0.3)) != name_place(
        remark("share", problem="mlp", share=0.1)
    )


@pytest.mark.parametrize("names", [["adam"], ["adam", "sgd"], ["adam", "sgd", "targets"]])
def test_what_an_experiment_lacks_is_listed_with_or(names: list[str]) -> None:
    *others, last = (LACKING[name] for name in names)
    listed = f"{', '.join(others)} or {last}" if others else last
    assert reason_words(remark("lacks", names=names)).endswith(f" {listed}")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, True),
        ({"verdict": "better"}, False),
        ({"seeds_needed": math.nan}, False),  # the sign test judged
        ({"choice_share": 0.0, "example_share": 0.9}, False),
    ],
)
def test_an_open_contrast_says_where_only_tuning_seeds_are_lacking(other: dict[str, Any], said: bool) -> None:
    row = {
        "verdict": "inconclusive",
        "remarks": pack_remarks([remark("counted")]),
        "difference_mean": 0.5,
        "margin": 1.0,
    }
    shares = {"floor": 0.6, "example_share": 0.0, "choice_share": 0.91, "seeds_needed": math.inf}
    lacking = remark_words([remark("tuning seeds lacking", share=0.91)])
    expected = f"{REMARKS['counted']}; {lacking}" if said else REMARKS["counted"]
    assert contrast_note({**row, **shares, **other}) == expected


def test_phrases_are_filled() -> None:
    assert place_words(remark("update", model="mlp", n=4810)) == PLACES["update"].format(model="mlp", n=4810)
    one, other = remark("counted"), remark("wins", won=1, decided=2)
    assert remark_words([one, other]) == f"{REMARKS['counted']}; {REMARKS['wins'].format(won=1, decided=2)}"
    assert verdict_words({"verdict": "supported", "size": "large"}) != verdict_words({"verdict": "supported"})
