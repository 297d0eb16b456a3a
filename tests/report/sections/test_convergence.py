"""Curves, times to target and gaps, on a generated experiment: adam is fastest."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.comparison import TABLES
from descentlab.analysis.targets import TARGETS
from descentlab.report.blocks import ARM_WORDS, Figure, interval
from descentlab.report.marks import Marks
from descentlab.report.sections import Evidence
from descentlab.report.sections.convergence import (
    convergence,
    curve_figure,
    find_fastest,
    find_leaders,
    find_nearest,
    nearest_words,
    optimum_gap,
    time_to_target,
)
from descentlab.storage.tables import empty_table
from support.comparison_fixture import SEEDS, generated_runs
from support.report_evidence import changed, evidence_of, found, table_named, titles, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def leaders(evidence: Evidence, problem: str, arm: str) -> tuple[str | None, str | None]:
    """Who is ahead early and late."""
    curves = evidence.comparison.curves
    return find_leaders(curves[curves["problem"] == problem], arm, evidence.complete(problem, arm))


def test_curves_name_who_is_ahead_early_and_late(evidence: Evidence) -> None:
    # Losses fall by a factor of 0.6 an update for adam, of 0.7 or more for the others.
    assert [leaders(evidence, "up", arm) for arm in ("tuned", "default")] == 2 * [("adam", "adam")]
    assert values_of(titles(convergence(evidence))[0]) == ["up", "adam", "adam"]  # once an arm


def test_curves_of_another_winner_have_another_title(evidence: Evidence) -> None:
    curves = evidence.comparison.curves.copy()
    curves.loc[curves["optimizer"] == "sgd", "val_loss_mean"] /= 1e6
    section = convergence(changed(evidence, curves=curves))
    assert values_of(titles(section)[0]) == ["up", "sgd", "sgd"]


def test_who_leads_early_may_not_lead_late(evidence: Evidence) -> None:
    curves = evidence.comparison.curves.copy()
    curves.loc[(curves["optimizer"] == "sgd") & (curves["epoch"] == curves["epoch"].max()), "val_loss_mean"] /= 1e6
    late = changed(evidence, curves=curves)
    assert leaders(late, "up", "tuned") == ("adam", "sgd")
    assert values_of(titles(convergence(late))[0]) == ["up", "adam", "sgd", "adam", "sgd"]
    no_early_evaluation = curves[curves["epoch"] > curves["epoch"].max() / 10]
    assert leaders(changed(evidence, curves=no_early_evaluation), "up", "tuned") == (None, "sgd")


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
    assert "adam" not in leaders(evidence, "up", "tuned")
    assert "adam" not in values_of(titles(convergence(evidence))[0])
    assert "adam" not in values_of(titles(optimum_gap(evidence))[0])


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
    speed = evidence.comparison.speed.query("arm == 'tuned' and target == 'medium'")
    assert find_fastest(speed, ["up", "down"]) == {"up": "adam", "down": "adam"}
    assert values_of(titles(time_to_target(evidence))[0]) == ["adam", "up", "adam", "down"]
    missed = speed["n_reached"].mask((speed["optimizer"] == "adam") & (speed["problem"] == "up"), 0)
    others = find_fastest(speed.assign(n_reached=missed), ["up", "down"])
    assert others["up"] != "adam" and others["down"] == "adam"


def test_nobody_reaches_the_target(evidence: Evidence) -> None:
    speed = evidence.comparison.speed.assign(n_reached=0)
    assert find_fastest(speed, ["up", "down"]) == {}
    assert values_of(titles(time_to_target(changed(evidence, speed=speed)))[0]) == []


def test_every_target_has_a_cell_to_be_translated(evidence: Evidence) -> None:
    rows = table_named(time_to_target(evidence), "speed").rows
    assert {row[3] for row in rows} == set(TARGETS)


def test_a_ratio_to_a_run_that_missed_is_a_bound(evidence: Evidence) -> None:
    speed = evidence.comparison.speed.assign(ratio_bound="at most", ratio_to_sgd=0.5, ratio_low=0.4, ratio_high=0.6)
    rows = table_named(time_to_target(changed(evidence, speed=speed)), "speed").rows
    assert {row[-1] for row in rows} == {f"≤ {interval(0.5, 0.4, 0.6, SEEDS)}"}


def test_the_gap_names_who_is_nearest_with_its_interval(evidence: Evidence) -> None:
    gaps = evidence.comparison.gaps.copy()
    gaps["gap_mean"], gaps["gap_low"], gaps["gap_high"] = 0.2, 0.1, 0.3
    gaps.loc[(gaps["optimizer"] == "gd") & (gaps["arm"] == "default"), ["gap_mean", "gap_low", "gap_high"]] = [
        0.02,
        0.01,
        0.03,
    ]
    near = changed(evidence, gaps=gaps)
    nearest = find_nearest(near, gaps[gaps["problem"] == "up"])
    assert nearest is not None and (nearest["optimizer"], nearest["arm"]) == ("gd", "default")
    title = titles(optimum_gap(near))[0]
    assert values_of(title) == ["up", "gd", 0.02, 0.01, 0.03, SEEDS]
    assert ARM_WORDS["default"].rates in title and ARM_WORDS["tuned"].rates not in title
    none = find_nearest(near, gaps[(gaps["problem"] == "up") & (gaps["optimizer"] == "nobody")])
    assert none is None and values_of(nearest_words(Marks(), "up", none)) == ["up"]


def test_no_known_optimum_no_gap(evidence: Evidence) -> None:
    assert optimum_gap(changed(evidence, gaps=empty_table(TABLES["gaps"]))) is None
