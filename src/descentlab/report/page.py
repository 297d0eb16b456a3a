"""The report: one HTML file that requests nothing from a network and has the same bytes for the same results."""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from descentlab.analysis.comparison import read_comparison
from descentlab.analysis.contrasts import PRIMARY
from descentlab.experiment.measurements import read_measured
from descentlab.experiment.plan import Plan
from descentlab.experiment.records import HISTORY
from descentlab.i18n.wording import counted, current_language, joined, spoken, words
from descentlab.report.answers import write_answers
from descentlab.report.blocks import ARM_WORDS, Figure, Section
from descentlab.report.environment import page_environment
from descentlab.report.marks import legend
from descentlab.report.plotting import standalone_svg
from descentlab.report.sections import SECTIONS, Evidence
from descentlab.report.sections.ledger import ledger_lines
from descentlab.report.sections.recommendations import recommendations
from descentlab.storage.atomic import write_text
from descentlab.storage.tables import read_table


def write_report(plan: Plan, results: Path, output: Path) -> None:
    """Write the page from plan.json, selections.json and comparison/, and its figures as SVG files.

    Args:
        results: ``results/<experiment>``; the figures go to its ``figures/``.
        output: the HTML file.
    """
    evidence = Evidence(
        plan=plan,
        comparison=read_comparison(results / "comparison"),
        selections=json.loads((results / "selections.json").read_text(encoding="utf-8")),
        measured=read_measured(results / "measured", plan.config.measurements),
        history=read_table(history, HISTORY) if (history := results / "history.parquet").exists() else None,
    )
    with rare_garbage_collection(), spoken(plan.config.report.language):
        sections = [section for make in SECTIONS if (section := make(evidence)) is not None]
        write_text(output, render(evidence, sections))
    write_figures(sections, results / "figures")


@contextlib.contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Run the garbage collector a hundredth as often; it takes a seventh of the time of drawing."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def render(evidence: Evidence, sections: list[Section]) -> str:
    """The page as HTML."""
    config = evidence.plan.config
    compared = evidence.comparison
    answers = write_answers(evidence.plan, compared, evidence.measurement("traits"))
    advice, claims = recommendations(evidence), ledger_lines(compared.claims, evidence.measurement("traits"))
    sentences = [
        *(text for one in advice for text in (one.advice, *one.evidence)),
        *(text for one in answers for text in (one["head"], *(line["text"] for line in one["details"]))),
        *(line["sides"] for line in claims),
    ]
    shown = {section.identity for section in sections}
    title = words("SGD or Adam? Experiment “{experiment}”", experiment=config.experiment)
    return (
        page_environment()
        .get_template("report.html")
        .render(
            title=config.report.title or title,
            language=current_language(),
            lead=lead(evidence),
            problems=len(evidence.plan.problems),
            recommendations=advice,
            legend=legend(*sentences),
            answers=answers,
            primary=int((compared.contrasts["declared"] == PRIMARY).sum()),
            claims=claims,
            evidence_of={answer["id"]: answer["section"] for answer in answers if answer["section"] in shown},
            sections=sections,
        )
    )


def lead(evidence: Evidence) -> str:
    """What the page is about, in two sentences."""
    problems = list(evidence.plan.problems)
    runs = counted(int(evidence.comparison.summary["n_planned"].sum()), "{n} final run", "{n} final runs")
    added = (evidence.comparison.contrasts["look"] > 1).any()
    return counted(
        len(problems),
        "{optimizers} on {names}, {seeds} each, {runs}; {arms}. What follows holds on this problem.",
        "{optimizers} on {n} problems ({names}), {seeds} each, {runs}; {arms}. What follows holds on these problems.",
        optimizers=counted(len(evidence.optimizers), "{n} optimizer", "{n} optimizers"),
        names=", ".join(problems),
        seeds=numbers_of_seeds([evidence.plan.config.seeds_of(name).final for name in problems]),
        runs=words("{runs} and more for open contrasts", runs=runs) if added else runs,
        arms=joined([words(ARM_WORDS[arm].rates) for arm in evidence.arms]),
    )


def numbers_of_seeds(seeds: Sequence[int]) -> str:
    """How many seeds, over problems that may differ: ``5 to 10 seeds``."""
    low, high = min(seeds), max(seeds)
    return counted(high, "{n} seed", "{n} seeds") if low == high else words("{low} to {high} seeds", low=low, high=high)


def write_figures(sections: list[Section], folder: Path) -> None:
    """Write every drawing to a file of its own, and remove those of an earlier report."""
    shutil.rmtree(folder, ignore_errors=True)
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                write_text(folder / f"{block.identity}.svg", f"{standalone_svg(block.svg)}\n")
