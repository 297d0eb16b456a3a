"""The ledger on a generated experiment whose truth is known."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.claims.evidence import ClaimEvidence
from descentlab.analysis.claims.judgment import read_claims
from descentlab.analysis.claims.ledger import make_ledger
from support.comparison_fixture import SEEDS, generated_history, generated_runs
from support.generated_comparisons import claim_evidence


def by_id(evidence: ClaimEvidence) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in make_ledger(evidence)}


def ledger(runs: pd.DataFrame) -> dict[str, dict[str, Any]]:
    history = generated_history(runs)
    # Odd seeds are evaluated one update later, so that times differ between seeds.
    odd = history["run_id"].map(runs.set_index("run_id")["seed"]) % 2 == 1
    history["updates"] += (odd & (history["updates"] > 0)).astype(int)
    return by_id(claim_evidence(runs, history))


def measured_alone(**measured: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The ledger of an experiment without runs: claims about measurements need none."""
    runs = generated_runs(0)
    return by_id(claim_evidence(runs[:0], generated_history(runs[:1])[:0], measured=measured))


def verdicts(entry: dict[str, Any]) -> dict[str, str]:
    return {shown["place"]["problem"]: shown["verdict"] for shown in entry["pieces"]}


@pytest.fixture(scope="module")
def entries() -> dict[str, dict[str, Any]]:
    return ledger(generated_runs(0))


def test_every_claim_is_judged_or_says_why_not(entries: dict[str, dict[str, Any]]) -> None:
    assert list(entries) == [claim.id for claim in read_claims()]
    for entry in entries.values():
        assert bool(entry["reason"]) == (entry["verdict"] == "not tested")


def test_verdicts_follow_the_truth(entries: dict[str, dict[str, Any]]) -> None:
    # The fixture's truth: adam's goodness is 0.1 above sgd's, far more than the margin; its losses fall faster.
    assert verdicts(entries["slightly-worse"]) == {"up": "contradicted", "down": "contradicted"}
    assert entries["fewer-steps"]["verdict"] == "supported"
    estimate = entries["fewer-steps"]["pieces"][0]["estimate"]
    assert estimate == pytest.approx(14 / 4, rel=1) and estimate > 1


def test_the_runs_behind_a_verdict_are_named(entries: dict[str, dict[str, Any]]) -> None:
    runs = entries["slightly-worse"]["pieces"][0]["runs"]
    assert len(runs) == 2 * SEEDS
    assert all(re.fullmatch(r"up\.(sgd|adam)\.tuned\.final\..*", run) for run in runs)


def test_a_worse_adam_turns_the_verdict() -> None:
    runs = generated_runs(0)
    mine = (runs["optimizer"] == "adam") & (runs["phase"] == "final")
    runs.loc[mine, "test_metric"] -= np.where(runs.loc[mine, "higher_is_better"], 0.14, -0.14)
    found = ledger(runs)["slightly-worse"]
    assert (found["verdict"], found["size"]) == ("supported", "")
    runs.loc[mine, "test_metric"] -= np.where(runs.loc[mine, "higher_is_better"], 0.5, -0.5)
    found = ledger(runs)["slightly-worse"]
    assert (found["verdict"], found["size"]) == ("supported", "large")


def test_censored_times_are_bounds() -> None:
    runs = generated_runs(0)
    sgd = (runs["optimizer"] == "sgd") & (runs["phase"] == "final") & (runs["seed"] == 0)
    runs.loc[sgd, "status"] = "diverged"
    for shown in ledger(runs)["fewer-steps"]["pieces"]:
        assert (shown["bound"], shown["verdict"]) == ("at least", "supported")


def test_without_an_optimizer_nothing_is_claimed() -> None:
    runs = generated_runs(0)
    found = ledger(runs[runs["optimizer"] != "adam"])
    assert found["slightly-worse"]["reason"] == {"code": "lacks", "names": ["adam", "sgd"]}


def test_operations_are_of_the_update_and_of_the_whole_step_and_exact() -> None:
    counts = {"model": "mlp", "parameters": 4810, "batch_size": 32, "gradient_operations": 132.0}
    rows = [
        {**counts, "optimizer": name, "update_operations": operations, "update_bytes": moved}
        for name, operations, moved in (("sgd", 1.0, 12.0), ("adam", 8.0, 28.0))
    ]
    # The second round was disturbed.
    timed = [
        {"model": "mlp", "optimizer": name, "step_microseconds": value * (1 + 9 * number)}
        for number in range(2)
        for name, value in (("sgd", 100.0), ("adam", 110.0))
    ]
    tables = {"operations": pd.DataFrame(rows), "step_cost": pd.DataFrame(timed)}
    update, step = measured_alone(**tables)["costlier-steps"]["pieces"]
    assert [(shown["verdict"], shown["n"]) for shown in (update, step)] == [("supported", 1)] * 2
    assert (update["estimate"], step["estimate"]) == (pytest.approx(8), pytest.approx(140 / 133))
    assert update["low"] == update["high"] == update["estimate"]
    assert step["remarks"][-1] == {"code": "least time", "ratio": pytest.approx(1.1)}
    large = pd.DataFrame(rows).assign(gradient_operations=7000.0)
    assert measured_alone(operations=large)["costlier-steps"]["verdict"] == "mixed"


def test_escapes_are_of_the_starts_outside_and_what_is_lost_inside_is_said() -> None:
    """Momentum ends in the basin no more often than plain descent, as it leaves it as often as it enters it."""
    outside, inside = 200, 200
    ends = {"sgd": [0] * outside + [1] * inside, "momentum": [1] * 100 + [0] * 100 + [0] * 100 + [1] * 100}
    rows = [
        {"landscape": "well", "spurious": True, "optimizer": name, "start": start, "global_basin": bool(end)}
        for name, values in ends.items()
        for start, end in enumerate(values)
    ]
    table = pd.DataFrame(rows).assign(value=0.0, same_rate_basin=False)
    best, same = measured_alone(landscapes=table.assign(start_global=table["start"] >= outside))["escapes-minima"][
        "pieces"
    ]
    assert (best["verdict"], best["estimate"], best["n"]) == ("supported", pytest.approx(0.5), outside)
    assert (same["verdict"], same["estimate"]) == ("negligible", 0.0)
    assert best["remarks"] == [
        {"code": "escapes", "momentum": 0.5, "sgd": 0.0},
        {"code": "ejections", "n": inside, "momentum": 0.5, "sgd": 0.0},
    ]


def test_only_disjoint_pairs_of_solutions_count_and_reordered_copies_are_one_minimum() -> None:
    rows = [
        {
            "problem": "mlp",
            "first_seed": a,
            "second_seed": b,
            "matching": matching,
            "relative_distance": 0.8,
            "barrier": barrier + 0.001 * a,
        }
        for matching, barrier in (("as_trained", 0.3), ("matched", 0.002))
        for a in range(10)
        for b in range(a + 1, 10)
    ]
    claim = measured_alone(minima=pd.DataFrame(rows))["several-minima"]
    assert [(shown["verdict"], shown["n"]) for shown in claim["pieces"]] == [("supported", 5), ("contradicted", 5)]
    assert claim["verdict"] == "mixed"
