"""The best final run of an optimizer on a problem, and its model as a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from descentlab.optimizers.error_line import one_line
from descentlab.problems.base import Problem, metric_sign
from descentlab.storage.atomic import written_aside
from descentlab.training.run_result import RunResult


def best_final_run(runs: pd.DataFrame, arm: str) -> str | None:
    """The run whose model is stored: the arm's finished final run with the best validation metric; the lowest seed wins a tie.

    Args:
        runs: the runs of one problem and optimizer.
        arm: the plan's main arm.

    Returns:
        Its id; None if no final run finished.
    """
    finals = runs[(runs["phase"] == "final") & (runs["arm"] == arm) & (runs["status"] == "finished")]
    if finals.empty:
        return None
    goodness = metric_sign(bool(finals["higher_is_better"].iloc[0])) * finals["val_metric"]
    return str(max(zip(goodness, -finals["seed"], finals["run_id"], strict=True))[2])


def write_model(problem: Problem, best: RunResult | None, path: Path) -> str:
    """Write the model of the best final run as ``.keras``; without one, remove what an earlier job left.

    Returns:
        Why Keras can't save the model, on one line; empty if it can.

    Raises:
        WriteError: the file can't be written.
    """
    path.unlink(missing_ok=True)
    if best is None:
        return ""
    model = problem.build_model()
    for variable, value in zip(model.variables, best.weights, strict=True):
        variable.assign(value)
    with written_aside(path) as temporary:
        try:
            model.save(temporary)
        except OSError:
            raise
        except (
            Exception
        ) as error:  # a reader's layers may lack what saving needs; the runs are worth keeping all the same
            fault = one_line(error)
        else:
            return ""
    path.unlink()
    return fault
