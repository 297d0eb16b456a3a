"""What changed between two results whose differences are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from descentlab.report.diff.compared import (
    APART,
    CHANGED,
    MOVED,
    MOVES,
    ONLY_A,
    ONLY_B,
    SAME,
    Compared,
    Differences,
    as_json,
    compare_estimates,
    compare_two,
)
from descentlab.report.diff.rows import KEYS, Estimated, Result
from support.comparison_fixture import generated_runs, generated_selections
from support.results_fixture import worse, write_results

NAN = math.nan
OTHERS = [{"optimizer": name} for name in ("gd", "sgd", "momentum", "adam")]  # all but rmsprop


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by what is special about them."""
    folder = tmp_path_factory.mktemp("results")
    runs = generated_runs(0)
    gone = runs.assign(
        status=runs["status"].where((runs["optimizer"] != "adam") | (runs["phase"] != "final"), "diverged")
    )
    chosen = [{**one, "learning_rate": 0.1} if one["optimizer"] == "sgd" else one for one in generated_selections()]
    return {
        "plain": write_results(folder / "plain"),
        "worse": write_results(folder / "worse", runs=worse("adam", 0.4)),
        "removed": write_results(folder / "removed", optimizers=OTHERS),
        "diverged": write_results(folder / "diverged", runs=gone),
        "wide": write_results(folder / "wide", about={"margin": 0.5}),
        "chosen": write_results(folder / "chosen", selections=chosen),
        "renamed": write_results(folder / "renamed", about={"metric": "share"}, experiment="renamed"),
    }


def mirrored(value: Any) -> Any:
    """A row, or a change, as it is with A and B swapped."""
    if isinstance(value, dict):
        swapped = {
            name[:-1] + "ba"["ab".index(name[-1])] if name[-2:] in {"_a", "_b"} else name: mirrored(item)
            for name, item in value.items()
        }
        return swapped | ({"difference": 0.0 - value["difference"]} if "difference" in value else {})
    return {ONLY_A: ONLY_B, ONLY_B: ONLY_A}.get(value, value) if isinstance(value, str) else value


def sorted_rows(found: Compared) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in found.rows)


def test_a_folder_and_itself_have_no_difference(results: dict[str, Path]) -> None:
    found = compare_two(results["plain"], results["plain"])
    assert list(found.kinds) == list(KEYS)
    assert all(not compared.rows for compared in found.kinds.values())
    assert not found.changed
    assert found.verdicts > 40 and found.estimates > 40
    assert found.kinds["contrasts"].both == found.kinds["contrasts"].stayed > 0


def test_one_optimizer_made_worse_moves_exactly_its_rows(results: dict[str, Path]) -> None:
    found = compare_two(results["plain"], results["worse"])
    listed = {(row["problem"], row["arm"], row["first"], row["second"]) for row in found.kinds["contrasts"].rows}
    problems_and_arms = [(problem, arm) for problem in ("up", "down") for arm in ("default", "tuned")]
    assert listed == {(*where, "adam", second) for where in problems_and_arms for second in ("sgd", "momentum")}
    assert found.kinds["contrasts"].count(APART) == found.kinds["contrasts"].verdicts_changed == 8
    for row in found.kinds["contrasts"].rows:
        assert row["difference"] == pytest.approx(-0.4)
        assert (row["verdict_a"], row["verdict_b"]) == ("better", "worse")
    assert {(row["problem"], row["arm"], row["optimizer"]) for row in found.kinds["finals"].rows} == {
        (*where, "adam") for where in problems_and_arms
    }
    for row in found.kinds["finals"].rows:  # the metric itself: up falls, down rises
        assert row["difference"] == pytest.approx(-0.4 if row["problem"] == "up" else 0.4)
    assert all(not found.kinds[kind].rows for kind in ("members", "settings", "speed", "rates", "runs"))
    assert found.changed


def test_a_claim_whose_verdict_flips_stands_with_its_pieces(results: dict[str, Path]) -> None:
    found = compare_two(results["plain"], results["worse"])
    claims = {row["claim"]: (row["value_a"], row["value_b"]) for row in found.kinds["claims"].rows}
    worse = {"verdict": "supported", "size": "large"}
    assert claims["slightly-worse"] == ({"verdict": "contradicted", "size": ""}, worse)
    pieces = [row for row in found.kinds["pieces"].rows if row["claim"] == "slightly-worse"]
    assert [row["place"]["problem"] for row in pieces] == ["up", "down"]
    for row in pieces:
        assert (row["verdict_a"], row["verdict_b"], row["size_b"]) == ("contradicted", "supported", "large")
        assert (row["n_a"], row["n_b"], row["change"]) == (6, 6, APART)
        assert row["high_a"] < row["low_b"]
    judged = sum(found.kinds[kind].verdicts_changed for kind in ("pieces", "contrasts"))
    assert found.verdicts_changed == len(claims) + judged


@pytest.mark.parametrize("other", ["worse", "removed", "diverged", "wide", "chosen", "renamed"])
def test_swapped_results_have_the_mirrored_differences(results: dict[str, Path], other: str) -> None:
    found = compare_two(results["plain"], results[other])
    swapped = compare_two(results[other], results["plain"])
    for kind in KEYS:
        mirror = Compared([mirrored(row) for row in found.kinds[kind].rows], found.kinds[kind].both)
        assert sorted_rows(mirror) == sorted_rows(swapped.kinds[kind])
        assert found.kinds[kind].stayed == swapped.kinds[kind].stayed
    for name in ("verdicts", "verdicts_changed", "estimates", "changed"):
        assert getattr(found, name) == getattr(swapped, name)
    assert (found.only(ONLY_A), found.only(ONLY_B)) == (swapped.only(ONLY_B), swapped.only(ONLY_A))


def test_an_english_and_a_spanish_result_of_the_same_runs_share_every_piece(
    results: dict[str, Path], tmp_path: Path
) -> None:
    report = {"title": None, "reference": "momentum", "language": "es"}
    found = compare_two(results["plain"], write_results(tmp_path / "spanish", report=report))
    assert not found.changed and (found.only(ONLY_A), found.only(ONLY_B)) == (0, 0)
    assert found.kinds["pieces"].both > 5 and not any(found.kinds[kind].rows for kind in KEYS if kind != "settings")
    assert [row["setting"] for row in found.kinds["settings"].rows] == ["config.report.language"]


def test_a_verdict_may_change_where_its_estimate_stays(results: dict[str, Path]) -> None:
    """A wider margin makes differences negligible and moves none."""
    found = compare_two(results["plain"], results["wide"])
    rows = found.kinds["contrasts"].rows
    assert found.kinds["contrasts"].verdicts_changed == len(rows) > 0
    assert {(row["change"], row["verdict_b"]) for row in rows} == {(SAME, "negligible")}
    assert not any(found.kinds["contrasts"].count(change) for change in MOVES)
    assert found.changed
    settings = [(row["setting"], row["value_a"], row["value_b"]) for row in found.kinds["settings"].rows]
    assert settings == [("problems.up.margin", 0.02, 0.5), ("problems.down.margin", 0.02, 0.5)]


def test_an_optimizer_that_was_removed_is_only_in_a(results: dict[str, Path]) -> None:
    found = compare_two(results["plain"], results["removed"])
    assert [(row["kind"], row["name"], row["change"]) for row in found.kinds["members"].rows] == [
        ("optimizers", "rmsprop", ONLY_A)
    ]
    assert not found.kinds["settings"].rows
    for kind, rows in (("contrasts", 2 * 2 * 2), ("finals", 2 * 2), ("runs", 2 * 2), ("rates", 2 * 2)):
        assert found.kinds[kind].count(ONLY_A) == rows
        names = {row.get("optimizer", row.get("first")) for row in found.kinds[kind].rows if row["change"] == ONLY_A}
        assert names == {"rmsprop"}
        assert found.kinds[kind].count(ONLY_B) == 0
    lost = found.kinds["finals"].rows[0]
    assert math.isnan(lost["estimate_b"]) and not math.isnan(lost["estimate_a"]) and lost["n_b"] == 0
    assert found.only(ONLY_A) >= 8 + 4


def test_a_row_that_diverges_has_no_estimate_and_is_not_lost(results: dict[str, Path]) -> None:
    found = compare_two(results["plain"], results["diverged"])
    runs = {(row["problem"], row["arm"], row["optimizer"]): row for row in found.kinds["runs"].rows}
    assert {name for _, _, name in runs} == {"adam"} and len(runs) == 4
    assert runs["up", "tuned", "adam"]["value_a"] == {"finished": 6}
    assert runs["up", "tuned", "adam"]["value_b"] == {"diverged": 6}
    finals = found.kinds["finals"].rows
    assert len(finals) == 4 and all(math.isnan(row["estimate_b"]) and row["change"] == MOVED for row in finals)
    contrasts = found.kinds["contrasts"].rows
    lost = {"code": "diverged", "name": "adam", "n": 6, "seeds": 6}
    assert all(row["remarks_b"][0] == lost for row in contrasts) and len(contrasts) == 8
    assert {(row["verdict_a"], row["verdict_b"]) for row in contrasts} == {("better", "inconclusive")}
    assert found.kinds["finals"].estimates == found.kinds["finals"].both


def test_another_learning_rate_is_told(results: dict[str, Path]) -> None:
    found = compare_two(results["plain"], results["chosen"])
    assert found.kinds["rates"].rows == [
        {
            "problem": problem,
            "optimizer": "sgd",
            "setting": "learning_rate",
            "value_a": 0.01,
            "value_b": 0.1,
            "change": CHANGED,
        }
        for problem in ("up", "down")
    ]


def test_another_metric_is_another_estimate(results: dict[str, Path]) -> None:
    found = compare_two(results["plain"], results["renamed"])
    for kind in ("contrasts", "finals"):
        assert found.kinds[kind].both == 0
        assert found.kinds[kind].count(ONLY_A) == found.kinds[kind].count(ONLY_B) > 0
    settings = {row["setting"]: (row["value_a"], row["value_b"]) for row in found.kinds["settings"].rows}
    assert settings == {
        "config.experiment": ("generated", "renamed"),
        "problems.up.metric": ("accuracy", "share"),
        "problems.down.metric": ("accuracy", "share"),
    }


@pytest.mark.parametrize("other", ["plain", "worse", "removed", "diverged", "renamed"])
def test_the_json_has_everything(results: dict[str, Path], other: str) -> None:
    found = compare_two(results["plain"], results[other])
    document = json.loads(as_json(found), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert document["changed"] is found.changed
    assert document["verdicts"] == {"both": found.verdicts, "changed": found.verdicts_changed}
    assert document["estimates"]["moved apart"] == found.moved(APART)
    assert (document["only in A"], document["only in B"]) == (found.only(ONLY_A), found.only(ONLY_B))
    assert document["b"] == {"experiment": found.b.experiment, "git_commit": "abc"}
    for kind, compared in found.kinds.items():
        kept = document["kinds"][kind]
        assert (kept["both"], kept["same"], len(kept["rows"])) == (compared.both, compared.stayed, len(compared.rows))
        assert [row["change"] for row in kept["rows"]] == [row["change"] for row in compared.rows]


def test_json_has_no_number_for_what_is_none() -> None:
    empty = {kind: Compared([], 0) for kind in KEYS}
    speed = compare_estimates(KEYS["speed"], {("p", "a", "o", "t"): Estimated(NAN, -math.inf, math.inf, 0)}, {})
    side = Result("e", "abc", "en", {}, {}, {})
    text = as_json(Differences(side, side, {**empty, "speed": speed}))
    (row,) = json.loads(text)["kinds"]["speed"]["rows"]
    assert (row["estimate_a"], row["low_a"], row["high_a"], row["difference"]) == (None, "-inf", "inf", None)
