"""The report of the generated experiment, written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from descentlab.analysis.comparison import write_comparison
from descentlab.experiment.plan import Plan
from descentlab.report.page import write_report
from support.comparison_fixture import (
    generated_plan,
    generated_runs,
    generated_selections,
    with_problems,
)
from support.generated_comparisons import compared, generated_comparison


def written_results(folder: Path, **changes: Any) -> Path:
    """plan.json, selections.json and comparison/ of the generated experiment."""
    plan = with_problems(generated_plan(**changes.get("config", {})), **changes.get("about", {}))
    runs = changes.get("runs", generated_runs(0))
    selections = changes.get("selections", generated_selections())
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder / "plan.json")
    (folder / "selections.json").write_text(json.dumps(selections))
    comparison = compared(plan, runs, selections=selections) if changes else generated_comparison()
    write_comparison(comparison, folder / "comparison")
    return folder


def built(folder: Path, **changes: Any) -> str:
    results = written_results(folder / "results", **changes)
    write_report(Plan.read(results), results, folder / "index.html")
    return (folder / "index.html").read_text()
