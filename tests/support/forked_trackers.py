"""Processes that track and may be killed: forks of this one, in which all that they import has been imported.

This process itself opens no store that they open: SQLite's connections must not pass a fork.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from descentlab.experiment.plan import TrainingPlan
from descentlab.tracking.entry import DIGEST, NOTE, RUN_ID
from support.tracked_jobs import RESULTS


def run_in_children(works: Sequence[Callable[[], object]]) -> list[int]:
    """Run each in a process of its own, all at once; their exit statuses, 1 after a traceback, -9 where killed."""
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def run_in_child(work: Callable[[], object]) -> int:
    """Run one; its exit status."""
    return run_in_children([work])[0]


def write_copy(folder: Path, experiment: str) -> Path:
    """A copy of the results in ``folder`` in this folder, as another experiment's; the path of it."""
    results = RESULTS.with_name(experiment)
    shutil.copytree(folder / RESULTS, results)
    plan = TrainingPlan.read(results)
    config = plan.config.model_copy(update={"experiment": experiment})
    replace(plan, config=config).write(results / "plan.json")
    return results


def killed_at_commit(number: int, work: Callable[[], object]) -> Callable[[], None]:
    """``work``, whose process kills itself as it begins the ``number``-th commit of any SQLite database."""

    def until_then() -> None:
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"
            if commits == number:
                os.kill(os.getpid(), signal.SIGKILL)

        connect = sqlite3.connect

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(count)
            return connection

        sqlite3.connect = sqlite3.dbapi2.connect = traced
        work()

    return until_then


def stored(database: Path) -> Counter[tuple[Any, ...]]:
    """How often each value of each run, each model and each tag of an experiment stands in a store, its ids as ours.

    What is in the text of a note or a digest depends on those ids: such a tag counts as there or not.
    """
    names_of_runs = (
        "SELECT run_uuid, experiments.name || ' ' || value FROM runs JOIN tags USING (run_uuid) JOIN experiments USING "
        f"(experiment_id) WHERE key = '{RUN_ID}' AND runs.lifecycle_stage = 'active'"
    )
    models = (
        "SELECT experiments.name, logged_models.name, status FROM logged_models JOIN experiments USING (experiment_id) WHERE "
        "logged_models.lifecycle_stage = 'active'"
    )
    tags = "SELECT experiments.name, key FROM experiment_tags JOIN experiments USING (experiment_id)"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        names = dict(connection.execute(names_of_runs))
        found = Counter(
            (kind, *row) for kind, query in (("model", models), ("tag", tags)) for row in connection.execute(query)
        )
        for table, columns in (
            ("runs", "name, status, start_time, end_time"),
            ("params", "key, value"),
            ("metrics", "key, value, timestamp, step"),
            ("tags", f"key, CASE WHEN key IN ('{NOTE}', '{DIGEST}') THEN '' ELSE value END"),
        ):
            for run, *cells in connection.execute(f"SELECT run_uuid, {columns} FROM {table}"):
                if run in names:
                    found[(names[run], table, *(names.get(cell, cell) for cell in cells))] += 1
    return found


def renamed(whole: Counter[tuple[Any, ...]], experiment: str) -> Counter[tuple[Any, ...]]:
    """What :func:`stored` finds, were the experiment's name another."""

    def in_it(cell: Any) -> Any:
        return re.sub(f"^{RESULTS.name}\\b", experiment, cell) if isinstance(cell, str) else cell

    return Counter({tuple(in_it(cell) for cell in row): count for row, count in whole.items()})
