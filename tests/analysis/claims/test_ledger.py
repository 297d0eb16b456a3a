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
