"""What no verdict may depend on: the order of rows, the names of optimizers, the unit and the direction of a metric."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis import compare, contrasts, pairing
from descentlab.analysis.claims import ledger, run_estimands, width_estimands
from descentlab.analysis.claims.judgment import read_claims
from descentlab.analysis.comparison import Comparison
from descentlab.analysis.remarks import name_place, unpack_remarks
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.records import EXAMPLES
from descentlab.storage.tables import check_table
from support.comparison_fixture import (
    generated_history,
    generated_plan,
    generated_runs,
    generated_selections,
    with_names,
    with_reference,
)

TEST_EXAMPLES = 12
Verdicts = dict[tuple[str, ...], str]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a comparison is made of."""

    plan: TrainingPlan
    runs: pd.DataFrame
    history: pd.DataFrame
    examples: pd.DataFrame
    selections: list[dict[str, Any]]
    measured: dict[str, pd.DataFrame]

    def compared(self) -> Comparison:
        return compare.compare_runs(self.plan, self.runs, self.history, self.selections, self.examples, self.measured)


def generated_experiment(seed: int) -> Experiment:
    """Noisy enough for every kind of verdict; runs that diverged at once, half way, and on either side."""
    generator = np.random.default_rng(seed)
    runs = generated_runs(seed, noise=0.04)
    runs["state_bytes_per_parameter"] = runs["optimizer"].map({"adam": 8.0, "momentum": 4.0}).fillna(0.0)
    of_problem = runs["problem"].map({"up": 1.0, "down": 0.01})  # negligible on one of them
    for measure in ("test_metric", "val_metric"):
        runs[measure] *= of_problem
    gap = generator.choice([0.001, 0.009, 0.02], len(runs))
    runs["train_loss"] = 0.1 + np.where(runs["problem"] == "up", gap, 0.001)
    seeded = (runs["phase"] == "final") & (runs["seed"] < 2)
    for optimizer, arm, updates in (("rmsprop", "tuned", 0), ("adam", "default", 4), ("sgd", "tuned", 8)):
        gone = seeded & (runs["optimizer"] == optimizer) & (runs["arm"] == arm) & (runs["problem"] == "up")
        runs.loc[gone, ["status", "updates"]] = ["diverged", updates]
    history = generated_history(runs)
    history["val_loss"] *= np.exp(generator.normal(0, 0.2, len(history)))
    history["val_metric"] += generator.normal(0, 1e-3, len(history))
    finals = runs[runs["phase"] == "final"]
    noise = generator.normal(0, 0.05, (len(finals), TEST_EXAMPLES)) + generator.normal(0, 0.02, (1, TEST_EXAMPLES))
    scores = finals["test_metric"].to_numpy()[:, None] + noise - noise.mean(axis=1, keepdims=True)
    examples = pd.DataFrame(
        {
            "run_id": np.repeat(finals["run_id"].to_numpy(), TEST_EXAMPLES),
            "example": np.tile(np.arange(TEST_EXAMPLES), len(finals)),
            "score": scores.ravel(),
        }
    )
    rare = [
        {
            "group": "rare",
            "updates": updates,
            "seed": s,
            "optimizer": name,
            "loss": 1 + level + 0.1 * generator.normal(),
        }
        for updates in (1, 2)
        for s in range(6)
        for name, level in (("sgd", 0.2 * updates), ("adagrad", 0.0))
    ]
    return Experiment(
        generated_plan(),
        runs,
        history,
        check_table(examples, EXAMPLES, "generated"),
        generated_selections(),
        {"imbalance": pd.DataFrame(rare)},
    )


def of_contrasts(found: Comparison) -> Verdicts:
    rows = found.contrasts
    keys = zip(rows["problem"], rows["arm"], rows["first"], rows["second"], strict=True)
    return dict(zip(keys, rows["verdict"], strict=True))


def of_ledger(found: Comparison) -> Verdicts:
    claims = {(entry["id"],): entry["verdict"] for entry in found.claims}
    pieces = {
        (entry["id"], name_place(piece["place"])): piece["verdict"]
        for entry in found.claims
        for piece in entry["pieces"]
    }
    return {**claims, **pieces}


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    """Without what only describes: the bootstrap and the simulation of coverage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairing, "bootstrap_interval", lambda differences, seed: (np.nan, np.nan))
        patch.setattr(compare, "COVERAGE_TRIALS", 2)
        yield


@pytest.fixture(scope="module", params=[0, 2])
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return generated_experiment(request.param)


@pytest.fixture(scope="module")
def before(experiment: Experiment, quickly: None) -> Comparison:
    del quickly
    return experiment.compared()


def scaled(table: pd.DataFrame, ending: str, factor: float, others: tuple[str, ...] = ()) -> pd.DataFrame:
    """``table`` with every column of that ending, and the others, times a factor."""
    columns = [name for name in table if name.endswith(ending) or name in others]
    return table.assign(**{name: table[name] * factor for name in columns})


def with_scaled_problems(plan: TrainingPlan, **factors: float) -> TrainingPlan:
    """``plan`` with what each problem is described by times a factor."""
    problems = {
        name: dataclasses.replace(problem, **{key: getattr(problem, key) * factor for key, factor in factors.items()})
        for name, problem in plan.problems.items()
    }
    return dataclasses.replace(plan, problems=problems)


def test_the_experiments_have_every_kind_of_verdict_to_lose() -> None:
    found = [generated_experiment(seed).compared() for seed in (0, 2)]
    words = {word for one in found for word in of_contrasts(one).values()}
    assert {"better", "worse", "negligible", "inconclusive"} <= words
    assert {"supported", "contradicted", "negligible", "inconclusive", "mixed"} <= {
        word for one in found for word in of_ledger(one).values()
    }
    remarks = [remark for one in found for text in one.contrasts["remarks"] for remark in unpack_remarks(text)]
    assert {"adam", "sgd", "rmsprop"} <= {one["name"] for one in remarks if one["code"] == "diverged"}


def test_the_order_of_rows_changes_no_verdict(experiment: Experiment, before: Comparison) -> None:
    def mixed(table: pd.DataFrame) -> pd.DataFrame:
        return table.sample(frac=1, random_state=5)

    selections = random.Random(5).sample(experiment.selections, len(experiment.selections))
    moved = Experiment(
        experiment.plan,
        mixed(experiment.runs),
        mixed(experiment.history),
        mixed(experiment.examples),
        selections,
        {name: mixed(table) for name, table in experiment.measured.items()},
    )
    after = moved.compared()
    assert of_contrasts(before) == of_contrasts(after)
    assert of_ledger(before) == of_ledger(after)
    np.testing.assert_allclose(before.contrasts["low_corrected"], after.contrasts["low_corrected"])


def test_the_order_in_the_config_changes_no_verdict(experiment: Experiment, before: Comparison) -> None:
    plan = dataclasses.replace(
        experiment.plan,
        problems=dict(reversed([*experiment.plan.problems.items()])),
        optimizers=dict(reversed([*experiment.plan.optimizers.items()])),
    )
    after = dataclasses.replace(experiment, plan=plan).compared()
    assert of_contrasts(before) == of_contrasts(after)
    assert of_ledger(before) == of_ledger(after)


def renamed(experiment: Experiment, names: dict[str, str]) -> Experiment:
    configured = [o.model_copy(update={"name": names.get(o.name, o.name)}) for o in experiment.plan.config.optimizers]
    config = experiment.plan.config.model_copy(update={"optimizers": tuple(configured)})
    plan = with_names(dataclasses.replace(experiment.plan, config=config), names)
    plan = with_reference(plan, names.get("momentum", "momentum"))
    selections = [
        {**made, "optimizer": names.get(made["optimizer"], made["optimizer"])} for made in experiment.selections
    ]
    runs = experiment.runs.assign(optimizer=experiment.runs["optimizer"].replace(names))
    return dataclasses.replace(experiment, plan=plan, runs=runs, selections=selections)


def rename_declared(monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> None:
    """The names that contrasts and claims are declared by, renamed as well."""
    for module, name in ((contrasts, "ADVANCED"), (width_estimands, "ADVANCED"), (width_estimands, "NOT_ADAPTIVE")):
        monkeypatch.setattr(module, name, tuple(names.get(each, each) for each in getattr(module, name)))
    monkeypatch.setattr(contrasts, "PLAIN", names.get("sgd", "sgd"))
    primary = tuple((names.get(a, a), names.get(b, b)) for a, b in contrasts.PRIMARY_CONTRASTS)
    monkeypatch.setattr(contrasts, "PRIMARY_CONTRASTS", primary)


def test_the_names_of_optimizers_change_no_contrast(
    experiment: Experiment, before: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The new names sort otherwise than the old ones.
    names = {"adam": "zeta", "sgd": "alpha", "momentum": "beta", "gd": "omega", "rmsprop": "delta"}
    rename_declared(monkeypatch, names)
    after = of_contrasts(renamed(experiment, names).compared())
    assert {(p, arm, names[a], names[b]): word for (p, arm, a, b), word in of_contrasts(before).items()} == after


def test_the_names_that_no_claim_asks_for_change_no_entry_of_the_ledger(
    experiment: Experiment, before: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"momentum": "beta", "gd": "omega", "rmsprop": "zeta"}
    rename_declared(monkeypatch, names)
    assert of_ledger(renamed(experiment, names).compared()) == of_ledger(before)


@pytest.mark.parametrize("factor", [1000.0, 1e-3])
def test_the_unit_of_the_metric_changes_no_verdict(experiment: Experiment, before: Comparison, factor: float) -> None:
    larger = dataclasses.replace(
        experiment,
        plan=with_scaled_problems(experiment.plan, margin=factor),
        runs=scaled(experiment.runs, "_metric", factor),
        history=scaled(experiment.history, "_metric", factor),
        examples=scaled(experiment.examples, "score", factor),
    )
    after = larger.compared()
    assert of_contrasts(before) == of_contrasts(after)
    assert of_ledger(before) == of_ledger(after)
    np.testing.assert_allclose(after.contrasts["low_corrected"], before.contrasts["low_corrected"] * factor)


@pytest.mark.parametrize("factor", [1000.0])
def test_the_unit_of_the_loss_changes_no_verdict(
    experiment: Experiment, before: Comparison, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = dataclasses.replace(
        experiment,
        runs=scaled(experiment.runs, "_loss", factor, ("penalty", "optimum")),
        history=scaled(experiment.history, "_loss", factor, ("penalty",)),
    )
    monkeypatch.setattr(run_estimands, "OPTIMUM_TOLERANCE", run_estimands.OPTIMUM_TOLERANCE * factor)
    claims = [
        dataclasses.replace(claim, margin=float(claim.margin) * factor) if claim.unit == "loss" else claim
        for claim in read_claims()
    ]
    monkeypatch.setattr(ledger, "read_claims", lambda: claims)
    after = larger.compared()
    assert of_contrasts(before) == of_contrasts(after)
    assert of_ledger(before) == of_ledger(after)


def test_the_direction_of_the_metric_changes_no_verdict(experiment: Experiment, before: Comparison) -> None:
    problems = {
        name: dataclasses.replace(problem, higher_is_better=not problem.higher_is_better)
        for name, problem in experiment.plan.problems.items()
    }
    runs = scaled(experiment.runs, "_metric", -1.0)
    turned = dataclasses.replace(
        experiment,
        plan=dataclasses.replace(experiment.plan, problems=problems),
        runs=runs.assign(higher_is_better=~runs["higher_is_better"]),
        history=scaled(experiment.history, "_metric", -1.0),
        examples=scaled(experiment.examples, "score", -1.0),
    )
    after = turned.compared()
    assert of_contrasts(before) == of_contrasts(after)
    assert of_ledger(before) == of_ledger(after)
