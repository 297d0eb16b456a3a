"""The runs that a plan requires, as far as they are known: tuning first, the rest once a learning rate is selected."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from descentlab.experiment.looks import ADDED, Look, added_seeds
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.run_spec import SPEED, RunSpec
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.search_space import Trial, all_trials
from descentlab.optimizers.table import OptimizerEntry


def entries_of(plan: TrainingPlan, problem: str) -> dict[str, OptimizerEntry]:
    """The optimizers of a problem as entries, by name."""
    return {entry.name: entry for entry in plan.config.entries(plan.config.problem(problem))}


def _extended(plan: TrainingPlan, problem: str, optimizer: str, phase: str, trial: Trial, seed: int) -> RunSpec:
    spec = _spec(plan, problem, optimizer, Arm.EXTENDED, phase, trial.learning_rate, seed)
    hyperparameters = json.dumps(trial.hyperparameters, sort_keys=True)
    return dataclasses.replace(spec, schedule=trial.schedule, hyperparameters=hyperparameters)


def _spec(
    plan: TrainingPlan, problem: str, optimizer: str, arm: str, phase: str, rate: float | None, seed: int
) -> RunSpec:
    planned_problem, planned_optimizer = plan.problems[problem], plan.optimizers[optimizer]
    return RunSpec(
        problem=problem,
        optimizer=optimizer,
        arm=arm,
        phase=phase,
        learning_rate=rate,
        schedule=planned_optimizer.tuned_schedule if arm == Arm.TUNED and rate is not None else "constant",
        batch_size=0 if planned_optimizer.full_batch else planned_problem.batch_size,
        epochs=planned_problem.epochs,
        reference_batch_size=planned_problem.batch_size,
        equal_updates=planned_optimizer.equal_updates,
        seed=seed,
        patience=plan.config.patience or 0,
    )


def planned_grid(plan: TrainingPlan, problem: str, optimizer: str) -> Sequence[float | None]:
    """The learning rates that are tried on a problem first: those of the optimizer's grid, or as many in its middle."""
    grid = plan.optimizers[optimizer].grid
    left_out = max(0, len(grid) - plan.config.tuning_of(problem).points) // 2
    return grid[left_out : len(grid) - left_out]


def tuning_runs(
    plan: TrainingPlan, problem: str, optimizer: str, rates: Sequence[float | None] | None = None
) -> list[RunSpec]:
    """The runs that choose an optimizer's learning rate; none without a tuned arm.

    Args:
        rates: those to try; by default :func:`planned_grid`, which may grow.
    """
    if Arm.TUNED not in plan.config.arms:
        return []
    return [
        _spec(plan, problem, optimizer, Arm.TUNED, "tuning", rate, seed)
        for rate in rates or planned_grid(plan, problem, optimizer)
        for seed in plan.config.seeds_of(problem).tuning_seeds
    ]


def sweep_runs(plan: TrainingPlan, problem: str, optimizer: str, rates: Sequence[float]) -> list[RunSpec]:
    """The runs of the robustness sweep at some learning rates."""
    seeds = plan.config.sweep.sweep_seeds
    return [_spec(plan, problem, optimizer, Arm.TUNED, "sweep", rate, seed) for rate in rates for seed in seeds]


def extended_runs(
    plan: TrainingPlan, problem: str, optimizer: str, selection: Mapping[str, Any]
) -> list[tuple[Trial, list[RunSpec]]]:
    """The extended arm's trials, each with its tuning runs, given the tuned arm's choice; empty without that arm."""
    planned, seeds = plan.optimizers[optimizer], plan.config.seeds_of(problem).tuning_seeds
    if Arm.EXTENDED not in plan.config.arms or planned.tuned_only:
        return []
    trials = all_trials(
        selection["learning_rate"], planned.tuned_schedule, planned.extended_trials, planned.center_learning_rate
    )
    return [(trial, [_extended(plan, problem, optimizer, "tuning", trial, seed) for seed in seeds]) for trial in trials]


def final_runs(plan: TrainingPlan, problem: str, optimizer: str, selection: Mapping[str, Any] | None) -> list[RunSpec]:
    """The runs that count: every arm's at its choice, and those at the neighbors of the tuned arm's and at its fastest rate.

    ``selection`` is the optimizer's entry of ``selections.json``; None if nothing is selected (yet): then only the default
    arm's runs are known.
    """
    config, seeds = plan.config, plan.config.seeds_of(problem).final_seeds
    runs = []
    if Arm.DEFAULT in config.arms and not plan.optimizers[optimizer].tuned_only:
        rate = plan.optimizers[optimizer].default_learning_rate
        runs += [_spec(plan, problem, optimizer, Arm.DEFAULT, "final", rate, seed) for seed in seeds]
    if Arm.TUNED in config.arms and selection is not None:
        chosen = selection["learning_rate"]
        runs += [_spec(plan, problem, optimizer, Arm.TUNED, "final", chosen, seed) for seed in seeds]
        neighbors = selection["neighbors"] if config.tuning_of(problem).neighbors else []
        runs += [
            _spec(plan, problem, optimizer, Arm.TUNED, "neighbor", rate, seed) for rate in neighbors for seed in seeds
        ]
        fastest = [selection["fastest"]] if "fastest" in selection else []
        runs += [_spec(plan, problem, optimizer, Arm.TUNED, SPEED, rate, seed) for rate in fastest for seed in seeds]
    if selection is not None and "extended" in selection:
        trial = Trial(**selection["extended"])
        runs += [_extended(plan, problem, optimizer, "final", trial, seed) for seed in seeds]
    return runs


def added_runs(plan: TrainingPlan, problem: str, look: Look, selections: Sequence[Mapping[str, Any]]) -> list[RunSpec]:
    """The runs that a look added to a problem: those of :func:`final_runs` without neighbors, on the next seeds."""
    chosen = {entry["optimizer"]: entry for entry in selections if entry["problem"] == problem}
    runs = []
    for arm, optimizer in look.rows(problem):
        finals = final_runs(plan, problem, optimizer, chosen.get(optimizer))
        known = [spec for spec in finals if spec.arm == arm and spec.phase == "final"][:1]  # none without a selection
        runs += [
            dataclasses.replace(spec, phase=ADDED, seed=seed)
            for spec in known
            for seed in added_seeds(plan, problem, look)
        ]
    return runs


def planned_runs(
    plan: TrainingPlan, selections: Sequence[Mapping[str, Any]], looks: Sequence[Look] = ()
) -> list[RunSpec]:
    """Every run of the experiment that is known, given the selections and looks so far."""
    selection_of = {(entry["problem"], entry["optimizer"]): entry for entry in selections}
    runs: list[RunSpec] = []
    for problem, jobs in plan.jobs.items():
        for optimizer in (name for job in jobs for name in job):
            selection = selection_of.get((problem, optimizer))
            runs += tuning_runs(plan, problem, optimizer, None if selection is None else selection["grid"])
            if selection is not None:
                runs += sweep_runs(plan, problem, optimizer, selection.get("sweep", []))
                runs += [spec for _, specs in extended_runs(plan, problem, optimizer, selection) for spec in specs]
            runs += final_runs(plan, problem, optimizer, selection)
        runs += [spec for look in looks for spec in added_runs(plan, problem, look, selections)]
    return runs
