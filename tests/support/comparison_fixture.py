"""A small experiment with known truths: 2 problems, 2 arms, 5 optimizers, 6 seeds; no training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.plan import ImportedPlan, TrainingPlan
from descentlab.experiment.plan_parts import Imported, LoggedConfig, LoggedOptimizer, LoggedProblem, LoggedSeeds
from descentlab.experiment.records import EXAMPLES, HISTORY, RUNS
from descentlab.experiment.settings import ReportConfig
from descentlab.storage.tables import check_table, empty_table

PROBLEMS = {"up": True, "down": False}  # higher is better, lower is better
OPTIMIZERS = ("gd", "sgd", "momentum", "adam", "rmsprop")
SEEDS = 6
NO_EXAMPLES = empty_table(EXAMPLES)
BLANK = {"float64": 0.0, "str": ""}
UPDATES = (0, 1, 2, 4, 8, 16)
# True advantage over momentum in test goodness.
ADVANTAGE = {"gd": -0.2, "sgd": 0.0, "momentum": 0.0, "adam": 0.1, "rmsprop": -0.1}


def generated_plan(**config: Any) -> TrainingPlan:
    """The plan; ``config``: what differs from the generated experiment's."""
    about = {
        "problem": "mlp",
        "title": "A generated problem",
        "metric": "accuracy",
        "margin": 0.02,
        "convex": True,
        "divergence_factor": 1000.0,
        "epochs": 4,
        "batch_size": 8,
        "requested_examples": 32,
        "train_examples": 32,
        "val_examples": 8,
        "test_examples": 8,
        "parameters": 53,
        "count": "12 + 20 + 10 + 4 + 5 + 2 = 53",
        "mode": "xla",
        "device": "CPU",
        "data_hash": "d" * 64,
        "layers": [{"name": "dense", "type": "Dense", "output_shape": "(None, 2)", "parameters": 53}],
    }
    content = {
        "config": {
            "experiment": "generated",
            "problems": [{"problem": "mlp", "name": name} for name in PROBLEMS],
            "optimizers": [{"optimizer": name} for name in OPTIMIZERS],
            "arms": ["default", "tuned"],
            "seeds": {"final": SEEDS, "tuning": 2},
            "measurements": [],
            "report": {"title": None, "reference": "momentum"},
            **config,
        },
        "problems": {name: {**about, "higher_is_better": higher} for name, higher in PROBLEMS.items()},
        "optimizers": {
            name: {
                "factory": "SGD",
                "paper": "a paper",
                "full_batch": name == "gd",
                "equal_updates": False,
                "center_learning_rate": 0.01,
                "center_source": "a book of 2012",
                "state_slots": 0,
                "tuned_weight_decay": None,
                "hyperparameters": {"default": {}, "tuned": {}},
                "default_learning_rate": 0.01,
                "grid": [0.001, 0.01, 0.1],
                "tuned_schedule": "linear",
            }
            for name in OPTIMIZERS
        },
        "jobs": {name: [list(OPTIMIZERS)] for name in PROBLEMS},
        "runs": dict.fromkeys(PROBLEMS, 0),
        "versions": {"python": "3.11", "git_commit": "abc"},
    }
    return TrainingPlan.from_json(content, "generated")


def with_problems(plan: TrainingPlan, **values: Any) -> TrainingPlan:
    """The plan with other values in every problem."""
    return replace(plan, problems={name: replace(problem, **values) for name, problem in plan.problems.items()})


def with_optimizer(plan: TrainingPlan, name: str, **values: Any) -> TrainingPlan:
    """The plan with other values in an optimizer."""
    return replace(plan, optimizers={**plan.optimizers, name: replace(plan.optimizers[name], **values)})


def of_optimizers(plan: TrainingPlan, names: Iterable[str]) -> TrainingPlan:
    """The plan with no optimizers but these."""
    return replace(plan, optimizers={name: plan.optimizers[name] for name in names})


def with_names(plan: TrainingPlan, names: Mapping[str, str]) -> TrainingPlan:
    """The plan with problems and optimizers under other names; those of the config stay."""
    return replace(
        plan,
        problems={names.get(name, name): problem for name, problem in plan.problems.items()},
        optimizers={names.get(name, name): optimizer for name, optimizer in plan.optimizers.items()},
    )


def with_reference(plan: TrainingPlan, reference: str) -> TrainingPlan:
    """The plan with another optimizer that differences are measured from."""
    report = plan.config.report.model_copy(update={"reference": reference})
    return replace(plan, config=plan.config.model_copy(update={"report": report}))


def imported_plan(commits: Sequence[str] = ("abc",)) -> ImportedPlan:
    """The plan of the same experiment, had it been logged externally."""
    optimizers = {
        name: LoggedOptimizer(
            factory="SGD",
            paper="",
            full_batch=False,
            equal_updates=False,
            state_slots=None,
            hyperparameters={"logged": {}},
            default_learning_rate=None,
            grid=(None,),
            logged=(name.upper(),),
        )
        for name in OPTIMIZERS
    }
    problems = {
        name: LoggedProblem(
            problem=name,
            title=name,
            metric="accuracy",
            higher_is_better=higher,
            margin=0.02,
            margin_from="declared",
            convex=None,
            divergence_factor=None,
            epochs=(2, 3),
            batch_size=(8,),
            train_examples=None,
            val_examples=None,
            test_examples=None,
            parameters=None,
            count="",
            layers=(),
            data_hash="",
            mode=None,
            device=None,
        )
        for name, higher in PROBLEMS.items()
    }
    return ImportedPlan(
        config=LoggedConfig(
            experiment="generated",
            arms=("logged",),
            seeds=LoggedSeeds(final=SEEDS),
            report=ReportConfig(reference="momentum"),
        ),
        imported=Imported(experiment_id="7", mapping={}, commits=tuple(commits)),
        problems=problems,
        optimizers=optimizers,
        jobs={},
        runs=dict.fromkeys(PROBLEMS, 1),
        versions={"python": "3.11"},
        unknown=(),
    )


def generated_runs(seed: int, noise: float = 0.002) -> pd.DataFrame:
    """Tuning and final runs; seeds shift all optimizers alike, as paired runs do."""
    generator = np.random.default_rng(seed)
    rows = []
    for problem, higher in PROBLEMS.items():
        shift = generator.normal(0, 0.1, SEEDS)
        for optimizer in OPTIMIZERS:
            phases = [(arm, "final", 0.01, s) for arm in ("default", "tuned") for s in range(SEEDS)]
            phases += [("tuned", "tuning", rate, 1000 + s) for rate in (0.001, 0.01, 0.1) for s in range(2)]
            for arm, phase, rate, run_seed in phases:
                final = phase == "final"
                goodness = 0.5 + ADVANTAGE[optimizer] + generator.normal(0, noise)
                goodness += shift[run_seed] if final else -0.3 * abs(np.log10(rate) + 2)
                metric = goodness if higher else -goodness
                updates = 4 if optimizer == "gd" else 16
                rows.append(
                    {
                        **{name: BLANK.get(column.dtype, 0) for name, column in RUNS.items()},
                        "run_id": f"{problem}.{optimizer}.{arm}.{phase}.lr={rate:g}.seed={run_seed}",
                        "problem": problem,
                        "optimizer": optimizer,
                        "arm": arm,
                        "phase": phase,
                        "learning_rate": rate,
                        "schedule": "linear",
                        "batch_size": 32 if optimizer == "gd" else 8,
                        "seed": run_seed,
                        "status": "finished",
                        "message": "",
                        "digest": f"{len(rows):064d}",
                        "init_hash": f"i{run_seed}",
                        "split_hash": f"s{run_seed}",
                        "data_hash": "d" * 64,
                        "updates": updates,
                        "updates_planned": updates,
                        "examples": updates * 8,
                        "train_seconds": 0.016,
                        "device": "CPU",
                        "mode": "xla",
                        "metric": "accuracy",
                        "higher_is_better": higher,
                        "optimum": 0.1,
                        "train_loss": 0.3,
                        "val_loss": 0.3,
                        "val_metric": metric,
                        "test_loss": 0.3 if final else np.nan,
                        "test_metric": metric if final else np.nan,
                    }
                )
    return check_table(pd.DataFrame(rows), RUNS, "generated")


def generated_history(runs: pd.DataFrame) -> pd.DataFrame:
    """Losses that fall from 1 by a factor an update: adam's fastest."""
    speed = {"gd": 0.9, "sgd": 0.9, "momentum": 0.8, "adam": 0.6, "rmsprop": 0.7}
    rows = []
    for run in runs.to_dict("records"):
        for updates in (u for u in UPDATES if u <= run["updates_planned"]):
            loss = speed[run["optimizer"]] ** updates
            values = {name: loss for name in HISTORY if name.endswith("_loss")}
            rows.append(
                {
                    **dict.fromkeys(HISTORY, 0.0),
                    **values,
                    "run_id": run["run_id"],
                    "updates": updates,
                    "epoch": updates / 4,
                    "examples": updates * run["batch_size"],
                    "train_seconds": updates / 1000,
                    "val_metric": run["val_metric"],
                }
            )
    return check_table(pd.DataFrame(rows), HISTORY, "generated")


def generated_selections() -> list[dict[str, Any]]:
    """Every optimizer chose the middle of its grid, rmsprop the edge."""
    return [
        {
            "problem": problem,
            "optimizer": optimizer,
            "learning_rate": 0.1 if optimizer == "rmsprop" else 0.01,
            "grid": [0.001, 0.01, 0.1],
            "val_metric": [0.1, 0.5, 0.2],
            "val_loss": [1.0, 0.5, 0.9],
            "plateau": [0.1, 0.1] if optimizer == "rmsprop" else [0.01, 0.01],
            "edge": "high" if optimizer == "rmsprop" else "",
            "cliff": [],
            "neighbors": [0.01] if optimizer == "rmsprop" else [0.001, 0.1],
            "tuning_seeds": [1000, 1001],
        }
        for problem in PROBLEMS
        for optimizer in OPTIMIZERS
    ]
