"""The report: one HTML file, no request to any network, the same bytes for the same results."""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from descentlab.comparison_tables import read_comparison
from descentlab.measurements import read_measured
from descentlab.records import write_text
from descentlab.sections import SECTIONS, Evidence
from descentlab.sections.blocks import Figure, Section, Switch

# The section that shows what a sentence of the first page was computed from, by the end of the sentence's id.
SECTION_OF = {
    "adam-momentum": "differences", "adam-sgd": "differences", "best": "test-metric", "speed": "time-to-target",
    "sensitivity": "sensitivity", "alarms": "alarms",
}  # fmt: skip


def write_report(results: Path, output: Path) -> None:
    """Write ``output`` from plan.json, selections.json and comparison/ in ``results``; figures also as SVG files.

    Args:
        results: ``results/<experiment>``.
        output: the HTML file.
    """
    plan = json.loads((results / "plan.json").read_text(encoding="utf-8"))
    evidence = Evidence(
        plan=plan,
        comparison=read_comparison(results / "comparison"),
        selections=json.loads((results / "selections.json").read_text(encoding="utf-8")),
        measured=read_measured(results / "measured", plan["config"]["measurements"]),
    )
    with collected_seldom():
        sections = [section for make in SECTIONS if (section := make(evidence)) is not None]
    write_text(output, render(evidence, sections))
    write_figures(sections, results / "figures")


@contextlib.contextmanager
def collected_seldom() -> Iterator[None]:
    """Let the garbage collector look a hundredth as often: its looks are a seventh of the figures' time."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def render(evidence: Evidence, sections: list[Section]) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("descentlab"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    config = evidence.plan["config"]
    runs = int(evidence.comparison.summary["n_planned"].sum())
    return environment.get_template("report.html").render(
        title=config["report"]["title"] or f"Which optimizer? Experiment “{config['experiment']}”",
        experiment=config["experiment"],
        problems=list(evidence.plan["problems"]),
        optimizers=evidence.optimizers,
        arms=evidence.arms,
        final_runs=runs,
        seeds=config["seeds"]["final"],
        answers=evidence.comparison.answers,
        claims=evidence.comparison.claims,
        evidence_of={
            answer["id"]: section
            for answer in evidence.comparison.answers
            for ending, section in SECTION_OF.items()
            if answer["id"].endswith(ending) and section in {section.identity for section in sections}
        },
        sections=sections,
    )


def write_figures(sections: list[Section], folder: Path) -> None:
    """Every drawing as a file of its own, in place of those that were there."""
    shutil.rmtree(folder, ignore_errors=True)
    ink = "<style>svg{color:#1b1f24;--rule:#d5dae0;background:#fff}</style>"
    for section in sections:
        for block in section.blocks:
            drawings = {}
            if isinstance(block, Figure):
                drawings[block.identity] = block.svg
            elif isinstance(block, Switch):
                for (measure, axis), svg in block.panels.items():
                    drawings[f"{block.identity}-{measure}-{axis}".replace(" ", "-")] = svg
            for name, svg in drawings.items():
                head, tag, rest = svg.partition(">")
                write_text(folder / f"{name}.svg", f"{head}{tag}{ink}{rest}\n")
