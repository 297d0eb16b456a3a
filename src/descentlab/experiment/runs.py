"""The runs that a plan asks for, as far as they can be known: tuning first, the rest once a learning rate was selected."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from descentlab.experiment.config import parse_config
from descentlab.experiment.records import RunSpec
from descentlab.optimizers.search_space import all_trials
from descentlab.optimizers.table import OptimizerEntry


def entries_of(plan: dict[str, Any], problem: str) -> dict[str, OptimizerEntry]:
    """The optimizers of a problem as entries, by name."""
    config = parse_config(plan["config"], "plan")
    return {entry.name: entry for entry in config.entries(config.problem(problem))}


def _extended(
    plan: dict[str, Any], problem: str, optimizer: str, phase: str, trial: dict[str, Any], seed: int
) -> RunSpec:
    spec = _spec(plan, problem, optimizer, "extended", phase, trial["learning_rate"], seed)
    hyperparameters = json.dumps(trial["hyperparameters"], sort_keys=True)
    return dataclasses.replace(spec, schedule=trial["schedule"], hyperparameters=hyperparameters)


def _spec(plan: dict[str, Any], problem: str, optimizer: str, arm: str, phase: str, rate: Any, seed: int) -> RunSpec:
    about, entry = plan["problems"][problem], plan["optimizers"][optimizer]
    return RunSpec(
        problem=problem,
        optimizer=optimizer,
        arm=arm,
        phase=phase,
        learning_rate=float("nan") if rate is None else rate,
        schedule=entry["tuned_schedule"] if arm == "tuned" and rate is not None else "constant",
        batch_size=0 if entry["full_batch"] else about["batch_size"],
        epochs=about["epochs"],
        reference_batch_size=about["batch_size"],
        equal_updates=entry["equal_updates"],
        seed=seed,
    )


def tuning_runs(plan: dict[str, Any], problem: str, optimizer: str) -> list[RunSpec]:
    """The runs that choose an optimizer's learning rate; none without a tuned arm."""
    config = parse_config(plan["config"], "plan")
    if "tuned" not in config.arms:
        return []
    return [
        _spec(plan, problem, optimizer, "tuned", "tuning", rate, seed)
        for rate in plan["optimizers"][optimizer]["grid"]
        for seed in config.seeds.tuning_seeds
    ]


def sweep_runs(plan: dict[str, Any], problem: str, optimizer: str, rates: list[float]) -> list[RunSpec]:
    """The runs of the robustness sweep at some learning rates."""
    seeds = parse_config(plan["config"], "plan").sweep.sweep_seeds
    return [_spec(plan, problem, optimizer, "tuned", "sweep", rate, seed) for rate in rates for seed in seeds]


def extended_runs(
    plan: dict[str, Any], problem: str, optimizer: str, selection: dict[str, Any]
) -> list[tuple[dict[str, Any], list[RunSpec]]]:
    """The extended arm's trials with the runs that judge each, given the tuned arm's choice; none without the arm."""
    config = parse_config(plan["config"], "plan")
    if "extended" not in config.arms:
        return []
    return [
        (trial, [_extended(plan, problem, optimizer, "tuning", trial, seed) for seed in config.seeds.tuning_seeds])
        for trial in all_trials(plan["optimizers"][optimizer], selection)
    ]


def final_runs(plan: dict[str, Any], problem: str, optimizer: str, selection: dict[str, Any] | None) -> list[RunSpec]:
    """The runs that count: every arm's at its choice, and the tuned one's neighbours.

    ``selection`` is the optimizer's entry of ``selections.json``; None where nothing was selected (yet): then only the
    default arm's runs are known.
    """
    config = parse_config(plan["config"], "plan")
    seeds = config.seeds.final_seeds
    about = plan["optimizers"][optimizer]
    runs = []
    if "default" in config.arms:
        rate = about["default_learning_rate"]
        runs += [_spec(plan, problem, optimizer, "default", "final", rate, seed) for seed in seeds]
    if "tuned" in config.arms and selection is not None:
        chosen = selection["learning_rate"]
        runs += [_spec(plan, problem, optimizer, "tuned", "final", chosen, seed) for seed in seeds]
        neighbours = selection["neighbours"] if config.tuning.neighbours else []
        runs += [
            _spec(plan, problem, optimizer, "tuned", "neighbour", rate, seed) for rate in neighbours for seed in seeds
        ]
    if selection is not None and "extended" in selection:
        runs += [_extended(plan, problem, optimizer, "final", selection["extended"], seed) for seed in seeds]
    return runs


def planned_runs(plan: dict[str, Any], selections: list[dict[str, Any]]) -> list[RunSpec]:
    """Every run of the experiment that can be known, given the selections made so far."""
    made = {(s["problem"], s["optimizer"]): s for s in selections}
    runs: list[RunSpec] = []
    for problem, jobs in plan["jobs"].items():
        for optimizer in (name for job in jobs for name in job):
            runs += tuning_runs(plan, problem, optimizer)
            selection = made.get((problem, optimizer))
            if selection is not None:
                runs += sweep_runs(plan, problem, optimizer, selection.get("sweep", []))
                runs += [spec for _, specs in extended_runs(plan, problem, optimizer, selection) for spec in specs]
            runs += final_runs(plan, problem, optimizer, selection)
    return runs
