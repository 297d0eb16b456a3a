"""Looks at open contrasts: who gets more seeds, what they are judged by then, and how often looking finds what isn't there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from descentlab.analysis import contrasts, next_look, pairing
from descentlab.analysis.choice_noise import measure_choice_noise
from descentlab.analysis.contrasts import contrast
from descentlab.analysis.next_look import decide_look
from descentlab.analysis.statistics.paired import estimate_difference
from descentlab.analysis.statistics.stages import Stage
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.analysis.tuning_effects import TuningEffects
from descentlab.experiment.config import Config
from descentlab.experiment.looks import Contrast, Look, seeds_of_contrasts
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.plateau import middle, plateau
from descentlab.experiment.records import RUNS
from descentlab.storage.tables import check_table
from support.comparison_fixture import generated_plan, with_problems

FIRST, MOST = 6, 48
BLANK = {name: 0 if about.dtype != "str" else "" for name, about in RUNS.items()}


def plan_of(problems: Sequence[str], minutes: float | None = None) -> TrainingPlan:
    """One arm, plain SGD and Adam: one primary contrast a problem; looks at 6, 12, 24 and 48 seeds; margin 0.02."""
    plan = generated_plan(
        arms=["tuned"], seeds={"final": FIRST, "most": MOST, "tuning": 2}, budget={"minutes": minutes}
    )
    optimizers = {name: plan.optimizers[name] for name in ("sgd", "adam")}
    return replace(plan, problems=dict.fromkeys(problems, plan.problems["up"]), optimizers=optimizers)


def runs_of(differences: dict[str, np.ndarray], seconds: dict[str, float] | None = None) -> pd.DataFrame:
    """Final and added runs in which Adam's test metric is better by these differences, seed by seed."""
    rows = [
        {
            **BLANK,
            "run_id": f"{problem}.{name}.{seed}",
            "problem": problem,
            "optimizer": name,
            "arm": "tuned",
            "phase": "final" if seed < FIRST else "added",
            "seed": seed,
            "status": "finished",
            "higher_is_better": True,
            "train_loss": 1.0,
            "train_seconds": (seconds or {}).get(problem, 1.0),
            "test_metric": 0.5 + difference * (name == "adam"),
        }
        for problem, values in differences.items()
        for name in ("sgd", "adam")
        for seed, difference in enumerate(values)
    ]
    return check_table(pd.DataFrame(rows), RUNS, "generated")


def spread(mean: float, deviation: float, n: int = FIRST) -> np.ndarray:
    """N even differences of exactly this mean and standard deviation."""
    values = np.tile([-1.0, 1.0], n // 2)
    return mean + deviation * values / values.std(ddof=1)


def contrast_of(problem: str) -> Contrast:
    return Contrast(problem, "tuned", "adam", "sgd")


def decide(plan: TrainingPlan, runs: pd.DataFrame, looks: Sequence[Look] = ()) -> Look:
    return decide_look(plan, runs, {}, [], looks)


def test_what_is_settled_gets_no_more_seeds() -> None:
    differences = {"better": spread(0.1, 0.001), "level": spread(0.0, 0.001), "open": spread(0.01, 0.02)}
    plan = plan_of(list(differences))
    look = decide(plan, runs_of(differences))
    assert look.number == 1
    assert look.contrasts == (contrast_of("open"),)
    assert seeds_of_contrasts(plan, [look]) == {contrast_of("open"): 2 * FIRST}
    assert look.left == look.unpaid == ()


def test_the_cheapest_to_settle_comes_first_and_the_budget_ends_the_list() -> None:
    differences = {"slow": spread(0.03, 0.03), "quick": spread(0.03, 0.03), "far": spread(0.01, 0.02)}
    runs = runs_of(differences, {"slow": 20.0, "quick": 1.0, "far": 1.0})
    every = decide(plan_of(list(differences)), runs)
    assert every.contrasts == tuple(map(contrast_of, ("quick", "far", "slow")))
    # Six more seeds of two rows, at a second or at twenty.
    assert every.seconds == pytest.approx(12 + 12 + 240)
    look = decide(plan_of(list(differences), minutes=0.5), runs)
    assert look.contrasts == tuple(map(contrast_of, ("quick", "far")))
    assert look.unpaid == (contrast_of("slow"),)
    earlier = Look(number=1, contrasts=tuple(map(contrast_of, ("quick", "far"))), seconds=24.0)
    longer = {name: np.r_[values, values] if name != "slow" else values for name, values in differences.items()}
    later = decide(plan_of(list(differences), minutes=0.5), runs_of(longer), [earlier])
    assert later.contrasts == () and set(later.unpaid) <= set(earlier.contrasts)


def test_a_problem_with_looks_of_its_own_is_extended_to_its_own_next_one() -> None:
    """Adam and SGD at a second a run: six more seeds of the problem with six, two of that with four."""
    few = spread(0.01, 0.02, 4)
    runs, plan = runs_of({"up": spread(0.01, 0.02), "down": few}), plan_of(["up", "down"])
    own = {"problem": "mlp", "name": "down", "seeds": {"final": 4, "most": 6}}
    config = {**plan.config.model_dump(), "problems": [{"problem": "mlp", "name": "up"}, own]}
    look = decide(replace(plan, config=Config.model_validate(config)), runs)
    assert set(look.contrasts) == {contrast_of("up"), contrast_of("down")}
    assert look.seconds == pytest.approx(12 + 4)


@pytest.mark.parametrize(("examples", "left"), [(4, True), (4000, False)])
def test_what_too_few_test_examples_keep_from_settling_is_left(examples: int, left: bool) -> None:
    """Adam is better on half of the examples and worse on the others, by the same in every seed."""
    differences = {"open": spread(0.01, 0.02)}
    runs, apart = runs_of(differences), np.tile([-0.1, 0.1], examples // 2)
    scores = {
        row["run_id"]: row["test_metric"] + apart * (row["optimizer"] == "adam") for row in runs.to_dict("records")
    }
    look = decide_look(plan_of(["open"]), runs, scores, [], [])
    assert (look.left, look.contrasts) == ((contrast_of("open"),), ())[:: 1 if left else -1]


def test_a_contrast_is_judged_on_the_seeds_of_its_last_look_at_that_share_of_its_level() -> None:
    values = np.random.default_rng(0).normal(0.01, 0.02, 2 * FIRST)
    plan, runs = plan_of(["p"]), runs_of({"p": values})
    looks = [Look(number=1, contrasts=(contrast_of("p"),))]
    row = contrast(plan, runs, {}, looks=looks).iloc[0]
    estimate = estimate_difference(values)
    assert (row["look"], row["n"]) == (2, 2 * FIRST)
    assert (row["low"], row["high"]) == pytest.approx(estimate.interval(0.05 / 8))
    assert row["p_corrected"] == pytest.approx(min(1.0, 8 * estimate.p))
    without = contrast(plan, runs, {}).iloc[0]
    assert (without["look"], without["n"]) == (1, FIRST)
    assert without["difference_mean"] == pytest.approx(values[:FIRST].mean())


def test_exploratory_contrasts_stay_at_the_seeds_that_all_rows_have() -> None:
    plan = plan_of(["p"])
    plan = replace(plan, optimizers=plan.optimizers | {"rmsprop": plan.optimizers["sgd"]})
    runs = runs_of({"p": np.random.default_rng(0).normal(0.01, 0.02, 2 * FIRST)})
    twin = runs[runs["optimizer"] == "sgd"].assign(optimizer="rmsprop")
    twin["run_id"] = "twin." + twin["run_id"]
    looks = [Look(number=1, contrasts=(contrast_of("p"),))]
    table = contrast(plan, pd.concat([runs, twin]), {}, looks=looks)
    assert dict(zip(table["first"], table["n"], strict=True)) == {"adam": 2 * FIRST, "rmsprop": FIRST}


EXPERIMENTS = 1000
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
TUNING = 5
MARGIN = 0.02


@pytest.fixture
def a_family_each(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every contrast is an experiment of its own; the bootstrap, which takes no part, takes no time."""
    monkeypatch.setattr(
        contrasts, "correct", lambda p, declared, shares: (np.minimum(1, p / shares), np.full(len(p), 0.05))
    )
    monkeypatch.setattr(pairing, "bootstrap_interval", lambda differences, seed: (np.nan, np.nan))
    yield


def tuned_twice(
    advantage: float, experiments: int, seed: int
) -> tuple[TrainingPlan, pd.DataFrame, list[dict[str, Any]]]:
    """Experiments with plain SGD and Adam tuned and trained: both lose half a margin a step from the same best rate.

    Args:
        advantage: of Adam, at every rate.
        experiments: a problem each.
        seed: of the runs.

    Returns:
        The plan, the runs to the last look, and the choices, which other tuning seeds would have made otherwise.
    """
    generator = np.random.default_rng(seed)
    expected = -MARGIN / 2 * (np.arange(len(RATES)) - len(RATES) // 2) ** 2
    parts, selections = [], []
    names = [f"e{number}" for number in range(experiments)]
    for problem in names:
        for optimizer, better in (("sgd", 0.0), ("adam", advantage)):
            tried = expected[:, None] + generator.normal(0, MARGIN, (len(RATES), TUNING))
            ends = plateau(tried.mean(axis=1), -tried.mean(axis=1), MARGIN)
            assert ends is not None
            chosen = middle(ends)
            about = {"problem": problem, "optimizer": optimizer}
            selections.append({**about, "learning_rate": RATES[chosen], "edge": ""})
            for rate, mean in enumerate(expected):
                parts.append((about, "tuning", rate, np.arange(1000, 1000 + TUNING), tried[rate]))
                if abs(rate - chosen) <= 1:
                    phase, seeds = ("final", MOST) if rate == chosen else ("neighbor", FIRST)
                    values = mean + better + generator.normal(0, MARGIN, seeds)
                    parts.append((about, phase, rate, np.arange(seeds), values))
    lengths = [len(values) for *_, values in parts]
    runs = pd.DataFrame(
        {
            **{name: np.repeat([about[name] for about, *_ in parts], lengths) for name in ("problem", "optimizer")},
            "phase": np.repeat([phase for _, phase, *_ in parts], lengths),
            "learning_rate": np.repeat([RATES[rate] for _, _, rate, *_ in parts], lengths),
            "seed": np.concatenate([seeds for *_, seeds, _ in parts]),
            "val_metric": np.concatenate([values for *_, values in parts]),
        }
    )
    runs["run_id"] = np.arange(len(runs)).astype(str)
    runs["phase"] = runs["phase"].where((runs["phase"] != "final") | (runs["seed"] < FIRST), "added")
    runs = runs.assign(test_metric=runs["val_metric"], val_loss=-runs["val_metric"], arm="tuned", status="finished")
    constant = {name: BLANK[name] for name in RUNS if name not in runs}
    runs = runs.assign(**{**constant, "higher_is_better": True, "train_loss": 1.0})
    return plan_of(names), runs, selections


def follow(plan: TrainingPlan, runs: pd.DataFrame, effects: TuningEffects) -> tuple[pd.DataFrame, list[Look]]:
    """The contrasts after all looks, each seeing no more runs than the ones before had added; none changes the effects."""
    looks: list[Look] = []
    with patch.object(next_look, "measure_tuning_effects", lambda *arguments: effects):
        for seeds in plan.config.seeds.looks[:-1]:
            seen = (runs["phase"] != "added") | (runs["seed"] < seeds)
            looks.append(decide_look(plan, runs[seen], {}, [], looks))
    return contrast(plan, runs, {}, effects, looks), looks


def directions(table: pd.DataFrame) -> float:
    """The share of the contrasts that end with one."""
    return float(np.isin(table["verdict"], [Verdict.BETTER, Verdict.WORSE]).mean())


@pytest.mark.usefixtures("a_family_each")
def test_tuning_and_looking_again_find_no_more_than_once_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 optimizers against themselves at most 7.3 % end with a direction, the 99.9 % quantile of as many trials at 5 %.

    More do if every look judges as if it were the only one. The margin that the rates are chosen with is none for the verdict:
    "negligible" would hide a wrong direction.
    """
    plan, runs, selections = tuned_twice(0.0, EXPERIMENTS, seed=3)
    effects = TuningEffects(measure_choice_noise(plan, runs, selections))
    exact = with_problems(plan, margin=1e-9)
    bound = stats.binom.ppf(0.999, EXPERIMENTS, 0.05) / EXPERIMENTS
    table, looks = follow(exact, runs, effects)
    assert len(looks[-1].contrasts) > EXPERIMENTS / 2  # or few were looked at to the end
    assert directions(table) <= bound
    at = Stage.at
    monkeypatch.setattr(Stage, "at", lambda looks, seeds=None: replace(at(looks, seeds), share=1.0))
    assert directions(follow(exact, runs, effects)[0]) > bound


@pytest.mark.usefixtures("a_family_each")
def test_a_difference_is_found_with_a_fraction_of_the_seeds() -> None:
    """Four margins of difference at a deviation of one in every run: found in nearly all, soon."""
    plan, runs, selections = tuned_twice(4 * MARGIN, 100, seed=4)
    table, _ = follow(plan, runs, TuningEffects(measure_choice_noise(plan, runs, selections)))
    assert (table["verdict"] == Verdict.BETTER).mean() > 0.97
    assert table["n"].mean() < MOST / 2
