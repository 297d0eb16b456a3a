"""How far each optimizer falls short of the best, which recommendations are based on.

The best of a problem and arm is chosen by validation metric, and every optimizer's distance from it is measured by test
metric, so that the choice does not flatter the chosen one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from descentlab.analysis.choice_noise import NOT_TUNED, ChoiceNoise
from descentlab.analysis.comparison import fill_table
from descentlab.analysis.pairing import ROW, PairedRuns
from descentlab.experiment.plan import Plan


def measure_regret(
    plan: Plan, finals: pd.DataFrame, scores: Mapping[str, np.ndarray], noise: ChoiceNoise = NOT_TUNED
) -> pd.DataFrame:
    """Every optimizer's distance from the best of its problem and arm.

    Args:
        plan: the experiment's plan.
        finals: final runs.
        scores: metric of each test example at the end, by run id.
        noise: of tuning.

    Returns:
        The table ``regret``; a problem and arm on which no optimizer finished every seed has no rows.

    Raises:
        PairingError: two runs of one seed differ in initial weights or split.
    """
    rows = []
    for (problem, arm), group in finals.groupby(ROW[:2], sort=False):
        planned = plan.problems[problem]
        sides = {str(name): runs.set_index("seed") for name, runs in group.groupby("optimizer", sort=False)}
        goodness = {
            name: planned.sign * float(runs["val_metric"].mean()) if (runs["status"] == "finished").all() else -np.inf
            for name, runs in sides.items()
        }
        leader = max(goodness, key=lambda name: goodness[name])
        if not np.isfinite(goodness[leader]):
            continue
        for name, runs in sides.items():
            pair = PairedRuns(
                runs,
                sides[leader],
                scores,
                f"{problem}, {arm}: {name} and {leader}",
                planned.margin,
                noise.of(str(problem), str(arm), str(name), leader),
            )
            low, high = pair.test.interval()
            rows.append(
                {
                    "problem": problem,
                    "arm": arm,
                    "optimizer": name,
                    "leader": leader,
                    "n": pair.test.estimate.n,
                    "n_unfinished": int((runs["status"] != "finished").sum()),
                    "val_regret": goodness[leader] - goodness[name],
                    "difference_mean": pair.test.estimate.mean,
                    "low": low,
                    "high": high,
                    "margin": planned.margin,
                }
            )
    return fill_table(pd.DataFrame(rows), "regret")


def most_dependable(regret: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Optimizers by their worst problem; the one that stays closest to the best everywhere comes first.

    Args:
        regret: the table of that name.
        arm: the arm to compare in.

    Returns:
        One row for each optimizer that all problems of the arm have: ``optimizer``, ``worst`` (validation shortfall in
        margins on its worst problem, lower is better; inf where a run did not finish), ``problem`` (the worst).
    """
    arm_rows = regret[regret["arm"] == arm]
    n_problems = arm_rows["problem"].nunique()
    rows = []
    for name, group in arm_rows.groupby("optimizer", sort=False):
        if group["problem"].nunique() == n_problems:
            margins = (group["val_regret"] / group["margin"]).to_numpy()
            worst = int(np.argmax(margins))
            row = {"optimizer": name, "worst": margins[worst], "problem": group["problem"].iloc[worst]}
            rows.append({**row, "mean": margins.mean()})
    table = pd.DataFrame(rows, columns=["optimizer", "worst", "problem", "mean"])
    return table.sort_values(["worst", "mean"], kind="stable").drop(columns="mean").reset_index(drop=True)
