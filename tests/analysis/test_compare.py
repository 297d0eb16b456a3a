"""The whole comparison: whatever is there or absent, in any order of rows, to files and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from descentlab.analysis.compare import compare_results
from descentlab.analysis.comparison import TABLES, read_comparison, write_comparison
from descentlab.analysis.pairing import PairingError
from descentlab.experiment.records import BESIDE, EXAMPLES, HISTORY, RUNS
from descentlab.experiment.traits import TRAITS_COLUMNS
from descentlab.report.answers import write_answers
from descentlab.storage.tables import empty_table, write_table
from support.comparison_fixture import (
    NO_EXAMPLES,
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
    of_optimizers,
)
from support.generated_comparisons import compared, few_trials, generated_comparison


def against(second: str) -> set[str]:
    """What the first page says of Adam against it."""
    return {f"{arm}-adam-{second}" for arm in ("default", "tuned")}


def test_the_order_of_the_rows_does_not_matter() -> None:
    runs = generated_runs(0)
    shuffled = runs.sample(frac=1, random_state=1)
    other = compared(
        runs=shuffled, history=generated_history(runs).sample(frac=1, random_state=2).sort_values("updates")
    )
    for name in ("contrasts", "summary", "speed", "widths"):
        keys = [c for c in ("problem", "arm", "optimizer", "first", "second", "target") if c in TABLES[name]]
        ordered = [getattr(c, name).sort_values(keys).reset_index(drop=True) for c in (generated_comparison(), other)]
        assert_frame_equal(*ordered)


def test_runs_that_are_no_pair_are_refused() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "adam") & (runs["seed"] == 3), "init_hash"] = "other"
    with pytest.raises(PairingError) as refused:
        compared(runs=runs)
    assert str(refused.value) == (
        "up, default: adam and sgd: the runs of a pair differ in init_hash, so they can't be compared; seeds: 3"
    )


@pytest.mark.parametrize(
    ("absent", "arm", "untested"),
    [
        ("adam", "tuned", {*against("momentum"), *against("sgd"), "speed", "sensitivity"}),
        ("sgd", "tuned", {*against("sgd"), "speed", "sensitivity"}),
        ("momentum", "tuned", {*against("momentum"), "speed"}),  # which sets the targets
        ("", "default", {"sensitivity"}),
    ],
)
def test_what_is_absent_is_not_tested_and_the_rest_is(absent: str, arm: str, untested: set[str]) -> None:
    runs = generated_runs(0)
    runs = runs[(runs["optimizer"] != absent) & (runs["arm"].eq(arm) | (arm == "tuned"))]
    plan = generated_plan(arms=["default", "tuned"] if arm == "tuned" else ["default"])
    plan = of_optimizers(plan, [name for name in plan.optimizers if name != absent])
    selections = [s for s in generated_selections() if s["optimizer"] != absent] if arm == "tuned" else []
    found = compared(plan, runs, selections=selections)
    answers = write_answers(plan, found, empty_table(TRAITS_COLUMNS))
    assert {answer["id"] for answer in answers if not answer["details"]} - {"alarms"} == untested
    assert set(found.summary["arm"]) == ({"default", "tuned"} if arm == "tuned" else {"default"})


def test_nothing_at_all_still_compares() -> None:
    runs = generated_runs(0)
    found = compared(runs=runs[:0], history=generated_history(runs)[:0], selections=[])
    assert all(getattr(found, name).empty for name in set(TABLES) - {"coverage"})  # that is of the method alone


def test_a_comparison_comes_back_from_its_files(tmp_path: Path) -> None:
    comparison = generated_comparison()
    write_comparison(comparison, tmp_path)
    again = read_comparison(tmp_path)
    for name in TABLES:
        written = getattr(comparison, name).reset_index(drop=True)
        assert_frame_equal(getattr(again, name), written, check_dtype=False)
    assert again.claims == comparison.claims


def test_results_hold_the_same_codes_whatever_the_language_of_the_report(tmp_path: Path) -> None:
    runs = generated_runs(0)
    tables = {"runs": (runs, RUNS), "history": (generated_history(runs), HISTORY), "examples": (NO_EXAMPLES, EXAMPLES)}
    tables["beside"] = empty_table(BESIDE), BESIDE
    written = {}
    for language in ("en", "es"):
        folder = tmp_path / language
        for name, (table, columns) in tables.items():
            write_table(table, columns, folder / f"{name}.parquet")
        plan = generated_plan(report={"title": None, "reference": "momentum", "language": language})
        (folder / "selections.json").write_text(json.dumps(generated_selections()))
        with few_trials():
            compare_results(plan, folder)
        files = [*sorted((folder / "comparison").iterdir()), folder / "claims.json"]
        written[language] = {file.name: file.read_bytes() for file in files}
    assert len(written["en"]) == len(TABLES) + 1 and written["en"] == written["es"]
