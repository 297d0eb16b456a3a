"""Curves, times to target and gaps, on a generated experiment: adam is fastest."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.tables import TABLES
from descentlab.analysis.time_to_target import TARGETS
from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.convergence import convergence, curve_figure, optimum_gap, time_to_target
from descentlab.storage.tables import empty_table
from support.comparison_fixture import SEEDS, generated_runs
from support.report_evidence import changed, evidence_of, found, table_named, titles


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def test_curves_name_who_is_ahead_early_and_late(evidence: Evidence) -> None:
    # Losses fall by a factor of 0.6 an update for adam, of 0.7 or more for the others.
    words = "Adam has the lowest validation loss after a tenth of the budget and at its end"
    assert titles(convergence(evidence))[0] == f"up: with tuned rates, {words}; with default rates, {words}"


def test_curves_of_another_winner_have_another_title(evidence: Evidence) -> None:
    curves = evidence.comparison.curves.copy()
    curves.loc[curves["optimizer"] == "sgd", "val_loss_mean"] /= 1e6
    section = convergence(changed(evidence, curves=curves))
    assert "plain SGD has the lowest validation loss after a tenth of the budget and at its end" in titles(section)[0]


def of_which_seeds_diverged(optimizer: str, seeds: int) -> Evidence:
    """The generated experiment in which some final runs of an optimizer diverged; their curves stay as they are."""
    runs = generated_runs(0)
    runs.loc[(runs["phase"] == "final") & (runs["optimizer"] == optimizer) & (runs["seed"] < seeds), "status"] = (
        "diverged"
    )
    return evidence_of(runs)


@pytest.mark.parametrize("seeds", [1, SEEDS])
def test_the_mean_of_survivors_leads_nobody(seeds: int) -> None:
    evidence = of_which_seeds_diverged("adam", seeds)
    assert "Adam" not in titles(convergence(evidence))[0]
    assert "Adam" not in titles(optimum_gap(evidence))[0]


def test_who_diverged_on_every_seed_is_named_last_among_the_gaps() -> None:
    figure = found(optimum_gap(of_which_seeds_diverged("sgd", SEEDS))).blocks[0]
    assert isinstance(figure, Figure)
    labels = re.findall(r">(gd|sgd|momentum|adam|rmsprop)<", figure.svg)
    assert set(labels) == {"gd", "sgd", "momentum", "adam", "rmsprop"} and "sgd" in (labels[0], labels[-1])


def test_curves_of_nineteen_optimizers_stay_small() -> None:
    """Four problems, 60 evaluations, two arms: well below the page's 6 MB."""
    few = evidence_of()
    names = list(few.plan.optimizers)
    generator = np.random.default_rng(0)
    many = [*names, *(f"other_{i}" for i in range(14))]
    table = pd.DataFrame(
        {
            **{name: np.zeros(19 * 2 * 60) for name in TABLES["curves"]},
            "problem": "up",
            "arm": np.repeat(["default", "tuned"], 19 * 60),
            "optimizer": np.tile(np.repeat(many, 60), 2),
            "updates": np.tile(np.arange(60.0), 38),
            "examples": np.tile(np.arange(60.0) * 32, 38),
            "epoch": np.tile(np.arange(60.0) / 6, 38),
            "train_seconds_mean": np.tile(np.arange(60.0) / 100, 38),
            "n": 10,
        }
    )
    for name in ("train_loss", "val_loss", "val_metric"):
        table[f"{name}_mean"] = np.exp(generator.normal(size=len(table)))
        table[f"{name}_low"], table[f"{name}_high"] = table[f"{name}_mean"] / 2, table[f"{name}_mean"] * 2
    plan = dataclasses.replace(few.plan, optimizers=dict.fromkeys(many, few.plan.optimizers["adam"]))
    figure = curve_figure(Evidence(plan, changed(few, curves=table).comparison, []), "up")
    assert len(figure.svg) + len(figure.csv) < 400_000


def test_who_reaches_the_target_first(evidence: Evidence) -> None:
    title = titles(time_to_target(evidence))[0]
    assert title == "Tuned rates: fewest updates to the medium target: Adam on up and Adam on down"


def test_nobody_reaches_the_target(evidence: Evidence) -> None:
    speed = evidence.comparison.speed.assign(n_reached=0)
    title = titles(time_to_target(changed(evidence, speed=speed)))[0]
    assert title.endswith("no optimizer reached the medium target with every seed")


def test_every_target_has_a_cell_to_be_translated(evidence: Evidence) -> None:
    rows = table_named(time_to_target(evidence), "speed").rows
    assert {row[3] for row in rows} == set(TARGETS)


def test_a_ratio_to_a_run_that_missed_is_a_bound(evidence: Evidence) -> None:
    speed = evidence.comparison.speed.assign(ratio_bound="at most", ratio_to_sgd=0.5, ratio_low=0.4, ratio_high=0.6)
    rows = table_named(time_to_target(changed(evidence, speed=speed)), "speed").rows
    assert {row[-1] for row in rows} == {f"≤ 0.5 [0.4, 0.6], n = {SEEDS}"}


def test_the_gap_names_who_is_nearest_with_its_interval(evidence: Evidence) -> None:
    gaps = evidence.comparison.gaps.copy()
    gaps["gap_mean"], gaps["gap_low"], gaps["gap_high"] = 0.2, 0.1, 0.3
    gaps.loc[(gaps["optimizer"] == "gd") & (gaps["arm"] == "default"), ["gap_mean", "gap_low", "gap_high"]] = [
        0.02,
        0.01,
        0.03,
    ]
    title = titles(optimum_gap(changed(evidence, gaps=gaps)))[0]
    expected = f"up: gd with default rates ends nearest the optimum, at a gap of 0.02 [0.01, 0.03], n = {SEEDS}"
    assert title == expected


def test_no_known_optimum_no_gap(evidence: Evidence) -> None:
    assert optimum_gap(changed(evidence, gaps=empty_table(TABLES["gaps"]))) is None
