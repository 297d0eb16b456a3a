"""The ledger on a generated experiment whose truth is known."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.claims.evidence import ClaimEvidence
from descentlab.analysis.claims.judgment import read_claims
from descentlab.analysis.claims.ledger import make_ledger
from descentlab.analysis.tuning_effects import TuningEffects, measure_tuning_effects
from descentlab.experiment.run_spec import RunSpec
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.training.tuning import select_learning_rate
from support.comparison_fixture import (
    PROBLEMS,
    SEEDS,
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
    with_optimizer,
)
from support.generated_comparisons import claim_evidence


def by_id(evidence: ClaimEvidence) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in make_ledger(evidence)}


def ledger(runs: pd.DataFrame) -> dict[str, dict[str, Any]]:
    history = generated_history(runs)
    # Odd seeds are evaluated one update later, so that times differ between seeds.
    odd = history["run_id"].map(runs.set_index("run_id")["seed"]) % 2 == 1
    history["updates"] += (odd & (history["updates"] > 0)).astype(int)
    return by_id(claim_evidence(runs, history))


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


def test_what_is_said_of_a_marked_row_carries_the_remark() -> None:
    runs, plan = generated_runs(0), with_optimizer(generated_plan(), "adam", own_learning_rate=True)
    row = ("up", "tuned", "adam")
    evidence = replace(claim_evidence(runs, plan=plan), tuning=TuningEffects(undertuned={row}))
    by_place = {name: (entry["pieces"], []) for name, entry in by_id(evidence).items()}
    marked = {
        (name, piece["place"]["problem"], one["code"])
        for name, (pieces, _) in by_place.items()
        for piece in pieces
        for one in piece["remarks"]
        if one.get("name") == "adam"
    }
    of_tuned = {"fewer-steps", "adam-rate", "rate-independence", "slightly-worse"}
    assert marked == {(name, "up", "undertuned") for name in of_tuned} | {
        ("prototyping", problem, "own settings") for problem in PROBLEMS
    }


def test_a_grid_two_decades_off_makes_no_claim_about_its_optimizer_without_the_mark() -> None:
    """The best rate lies beyond a grid that could not grow; at the end of it Adam's final runs fall far behind."""
    runs, selections = generated_runs(0), generated_selections()
    adam, final = runs["optimizer"] == "adam", runs["phase"] == "final"
    sign = np.where(runs["higher_is_better"], 1, -1)
    runs.loc[adam & (runs["phase"] == "tuning"), "val_metric"] = sign * np.log10(runs["learning_rate"]) / 10
    runs.loc[adam & final & (runs["arm"] == "tuned"), "test_metric"] -= (
        0.4 * sign[adam & final & (runs["arm"] == "tuned")]
    )
    for place, made in enumerate(selections):
        mine = runs[adam & (runs["phase"] == "tuning") & (runs["problem"] == made["problem"])]
        if made["optimizer"] == "adam":
            specs = [
                RunSpec(made["problem"], "adam", "tuned", "tuning", rate, "linear", 8, 4, 16, False, seed)
                for rate, seed in zip(mine["learning_rate"], mine["seed"], strict=True)
            ]
            higher = 1 if PROBLEMS[made["problem"]] else -1
            found = OPTIMIZERS["adam"], made["problem"], specs, mine.to_dict("records"), higher, 0.02
            selections[place] = select_learning_rate(*found)
            assert (selections[place]["edge"], selections[place]["learning_rate"]) == ("high", 0.1)
    tuning = measure_tuning_effects(generated_plan(), runs, selections)
    entries = by_id(replace(claim_evidence(runs), tuning=tuning))
    assert verdicts(entries["slightly-worse"]) == {"up": "supported", "down": "supported"}  # by the rate, not by Adam
    for entry in entries.values():
        for piece in entry["pieces"]:
            behind = any(run.split(".")[1:3] == ["adam", "tuned"] for run in piece["runs"])
            if behind and piece["verdict"] in ("supported", "contradicted"):
                assert {"code": "undertuned", "name": "adam"} in piece["remarks"]


def test_without_an_optimizer_nothing_is_claimed() -> None:
    runs = generated_runs(0)
    found = ledger(runs[runs["optimizer"] != "adam"])
    assert found["slightly-worse"]["reason"] == {"code": "lacks", "names": ["adam", "sgd"]}
