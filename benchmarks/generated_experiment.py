"""A finished experiment of any number of runs that nobody trained: plan, tables and step cost, always the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.config import Config, parse_config
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.plan_parts import Layer, PlannedOptimizer, PlannedProblem
from descentlab.experiment.records import RUNS
from descentlab.experiment.run_spec import SEALED_PHASES, RunSpec
from descentlab.experiment.runs import final_runs, sweep_runs, tuning_runs
from descentlab.experiment.step_cost import STEP_COST_COLUMNS
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.problems.splits import SPLITS
from descentlab.storage.atomic import write_text
from descentlab.storage.tables import write_table
from descentlab.training.job_files import speed_job, write_job_tables

NAME = "generated"
USUAL_RUNS = 1_250  # of a problem with every optimizer and the usual seeds
TEST_EXAMPLES = 360
EPOCHS, BATCH, TRAIN_EXAMPLES = 48, 32, 1120
COST_ROUNDS = 5


def make_config(runs: int) -> Config:
    """As many problems and seeds as come to ``runs``, sweeps not counted; every optimizer where there is room."""
    problems = max(1, round(runs / USUAL_RUNS))
    names = [entry.name for entry in OPTIMIZERS.values() if not entry.full_batch and entry.center_learning_rate]
    names = names if runs >= USUAL_RUNS / 2 else ["sgd", "momentum", "adam", "rmsprop"]
    each = runs // (problems * len(names))
    tuning = 3 if each > 40 else 1
    return parse_config(
        {
            "experiment": NAME,
            "problems": [{"problem": "mlp", "name": f"problem_{k}", "epochs": EPOCHS} for k in range(problems)],
            "optimizers": names,
            "arms": ["default", "tuned"],
            "seeds": {"final": (each - 7 * tuning) // 4, "tuning": tuning},
            "tuning": {"points": 7, "neighbors": True},
            "measurements": ["step_cost"],
        },
        "generated config",
    )


def make_plan(config: Config) -> TrainingPlan:
    """The plan; no model is built."""
    problem = PlannedProblem(
        problem="mlp",
        title="A generated problem",
        metric="accuracy",
        higher_is_better=True,
        margin=0.01,
        convex=False,
        divergence_factor=1e3,
        epochs=EPOCHS,
        batch_size=BATCH,
        requested_examples=TRAIN_EXAMPLES,
        train_examples=TRAIN_EXAMPLES,
        val_examples=317,
        test_examples=TEST_EXAMPLES,
        parameters=4810,
        count="4,810",
        data_hash="d" * 64,
        layers=(Layer("hidden", "Dense", "(None, 64)", 4810),),
        mode="xla",
        device="CPU",
    )
    optimizers = {
        entry.name: PlannedOptimizer(
            factory=entry.factory,
            center_learning_rate=entry.center_learning_rate,
            center_source=entry.center_source,
            tuned_weight_decay=entry.tuned_weight_decay,
            paper=entry.paper,
            state_slots=entry.state_slots,
            full_batch=False,
            equal_updates=False,
            tuned_schedule=entry.tuned_schedule,
            hyperparameters={arm: {} for arm in config.arms},
            default_learning_rate=entry.rate_at(-2),
            grid=tuple(entry.grid(config.tuning.points)),
        )
        for entry in config.entries(config.problems[0])
    }
    names = [problem.name for problem in config.problems]
    return TrainingPlan(
        config=config,
        problems=dict.fromkeys(names, problem),
        optimizers=optimizers,
        jobs={name: (tuple(optimizers),) for name in names},
        runs=dict.fromkeys(names, 0),
        versions={"python": "3", "git_commit": "generated"},
    )


def make_selections(plan: TrainingPlan, runs: int) -> list[dict[str, Any]]:
    """The middle of every grid is chosen; sweeps make up what is missing to ``runs``."""
    config = plan.config
    each = config.tuning.points * config.seeds.tuning + 4 * config.seeds.final
    left = (runs - each * len(plan.problems) * len(plan.optimizers)) // config.sweep.seeds
    selections: list[dict[str, Any]] = []
    for problem in plan.problems:
        for name, optimizer in plan.optimizers.items():
            grid = list(optimizer.grid)
            selection: dict[str, Any] = {
                "problem": problem,
                "optimizer": name,
                "learning_rate": grid[3],
                "grid": grid,
                "plateau": [grid[3], grid[3]],
                "edge": "",
                "cliff": [],
                "val_metric": [0.9 - 0.05 * abs(k - 3) for k in range(7)],
                "val_loss": [0.3 + 0.05 * abs(k - 3) for k in range(7)],
                "neighbors": [grid[2], grid[4]],
                "tuning_seeds": config.seeds.tuning_seeds,
            }
            if name in config.sweep.optimizers:
                selection["sweep"] = grid[: min(left, len(grid))]
                left -= len(selection["sweep"])
            selections.append(selection)
    return selections


def make_tables(plan: TrainingPlan, specs: list[RunSpec], evaluations: int) -> dict[str, pd.DataFrame]:
    """Runs, histories and examples of one problem: losses that fall exponentially, faster at some rates."""
    generator = np.random.default_rng(0)
    order = {name: k for k, name in enumerate(plan.optimizers)}
    n = len(specs)
    named = pd.DataFrame(
        [{**{k: v for k, v in spec.as_dict().items() if k in RUNS}, "run_id": spec.run_id} for spec in specs]
    )
    steps = np.log10(
        named["learning_rate"] / named["optimizer"].map({k: v.grid[3] for k, v in plan.optimizers.items()})
    )
    speed = (4 + 0.1 * named["optimizer"].map(order)) * 10 ** (-0.3 * steps.abs()) + generator.normal(0, 0.1, n)
    sealed = named["phase"].isin(SEALED_PHASES).to_numpy()
    updates = np.unique(np.linspace(0, EPOCHS * (TRAIN_EXAMPLES // BATCH), evaluations).astype(np.int64))
    done = updates[-1]
    fallen = np.exp(-np.outer(speed, updates / done))  # (runs, evaluations)
    history: dict[str, Any] = {
        "run_id": np.repeat(named["run_id"].to_numpy(), len(updates)),
        "updates": np.tile(updates, n),
        "epoch": np.tile(updates * BATCH / TRAIN_EXAMPLES, n),
        "examples": np.tile(updates * BATCH, n),
        "train_seconds": np.tile(updates * 1e-5, n),
        "learning_rate": np.outer(named["learning_rate"], 1 - updates / done).ravel(),
        "penalty": np.zeros(n * len(updates)),
    }
    for k, split in enumerate(SPLITS):
        hidden = np.where(sealed & (split == "test"), np.nan, 1.0)[:, None]
        noise = generator.normal(1, 0.01, (n, 1))
        history[f"{split}_loss"] = ((0.2 + 0.02 * k + 2.3 * fallen) * noise * hidden).ravel()
        history[f"{split}_metric"] = ((0.95 - 0.01 * k - 0.85 * fallen) * noise * hidden).ravel()
    at_end = {name: history[name].reshape(n, -1)[:, -1] for name in history if name.endswith(("_loss", "_metric"))}
    best = {f"best_{name}": values for name, values in at_end.items()}
    renormalized = dict.fromkeys([name for name in RUNS if name.startswith("renormalized_")], np.nan)
    constant = {
        **renormalized,  # the model has no BatchNormalization
        "status": "finished",
        "message": "",
        "data_hash": "d" * 64,
        "updates": done,
        "updates_planned": done,
        "examples": done * BATCH,
        "started_at": 1.7e9,
        "members": 8,
        "train_seconds": done * 1e-5,
        "evaluation_seconds": 0.01,
        "compile_seconds": 1.0,
        "device": "CPU",
        "mode": "xla",
        "parameters": 4810,
        "state_bytes_per_parameter": 4.0,
        "metric": "accuracy",
        "higher_is_better": True,
        "optimum": np.nan,
        "best_epoch": float(EPOCHS),
        "penalty": 0.0,
    }
    runs = named.assign(
        **constant,
        **at_end,
        **best,
        digest=[f"{k:064x}" for k in range(n)],
        init_hash="i" + named["seed"].astype(str),
        split_hash="s" + named["seed"].astype(str),
    )
    open_runs = named["run_id"].to_numpy()[~sealed]
    right = generator.random((len(open_runs), TEST_EXAMPLES)) < at_end["test_metric"][~sealed][:, None]
    examples = {
        "run_id": np.repeat(open_runs, TEST_EXAMPLES),
        "example": np.tile(np.arange(TEST_EXAMPLES), len(open_runs)),
        "score": right.ravel().astype(np.float64),
    }
    return {
        "runs": runs,
        "history": pd.DataFrame(history),
        "examples": pd.DataFrame(examples),
    }


def make_step_cost(plan: TrainingPlan) -> pd.DataFrame:
    """A step of every optimizer on every problem."""
    rows = [
        {
            "model": problem,
            "parameters": 4810,
            "batch_size": BATCH,
            "optimizer": name,
            "round": k,
            "steps": 100,
            "update_microseconds": np.nan,
            "step_microseconds": 50.0 + number + 0.1 * k,
            "device": "CPU",
            "state_bytes_per_parameter": 4.0 * (optimizer.state_slots or 0),
            "device_peak_bytes": np.nan,
        }
        for problem in plan.problems
        for number, (name, optimizer) in enumerate(plan.optimizers.items())
        for k in range(COST_ROUNDS)
    ]
    return pd.DataFrame(rows)


def write_experiment(results: Path, runs: int, evaluations: int = 50) -> int:
    """Write what plan, train and measure leave in ``results``; returns how many runs that is: ``runs`` or a few less."""
    plan = make_plan(make_config(runs))
    selections = make_selections(plan, runs)
    written = 0
    for problem in plan.problems:
        mine = [selection for selection in selections if selection["problem"] == problem]
        specs: list[RunSpec] = []
        for selection in mine:
            name = selection["optimizer"]
            specs += tuning_runs(plan, problem, name)
            specs += sweep_runs(plan, problem, name, selection.get("sweep", []))
            specs += final_runs(plan, problem, name, selection)
        tables = make_tables(plan, specs, evaluations)
        write_job_tables(results / "train" / problem / "0", tables)
        write_job_tables(speed_job(results, problem), {})
        write_text(results / "train" / problem / "0.selections.json", json.dumps(mine))
        written += len(specs)
    write_table(make_step_cost(plan), STEP_COST_COLUMNS, results / "measured" / "step_cost.parquet")
    plan.write(results / "plan.json")
    return written
