"""The generated experiment as the report sees it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from comparison_fixture import generated_history, generated_plan, generated_runs, generated_selections

from descentlab.compare import compare_runs
from descentlab.comparison_tables import write_comparison
from descentlab.sections import Evidence


def generated_evidence(runs: pd.DataFrame | None = None, **config: Any) -> Evidence:
    """What sections draw from; ``runs`` in place of the generated ones."""
    plan, selections = generated_plan(**config), generated_selections()
    runs = generated_runs(0) if runs is None else runs
    return Evidence(plan, compare_runs(plan, runs, generated_history(runs), selections), selections)


def write_results(evidence: Evidence, folder: Path) -> Path:
    """The files that the report reads."""
    write_comparison(evidence.comparison, folder / "comparison")
    (folder / "plan.json").write_text(json.dumps(evidence.plan), encoding="utf-8")
    (folder / "selections.json").write_text(json.dumps(evidence.selections), encoding="utf-8")
    return folder


class Page(HTMLParser):
    """Tags with their attributes, and the text between them, of an HTML page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]
