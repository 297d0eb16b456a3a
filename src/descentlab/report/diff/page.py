"""The page of what changed between two results: one HTML file, no script, no request, the same bytes for the same results."""

from __future__ import annotations

from pathlib import Path

from descentlab.i18n.wording import current_language, message, spoken, words
from descentlab.report.diff.change_tables import change_table
from descentlab.report.diff.compared import MOVES, ONLY_A, ONLY_B, Differences
from descentlab.report.diff.rows import KEYS, Result
from descentlab.report.environment import page_environment
from descentlab.storage.atomic import write_text

READING = message(
    "A verdict can change while its estimate stays the same: through the margin, n or the correction. Moved apart: the "
    "intervals do not meet; a bound leaves its interval open on one side. Moved within the intervals: each estimate lies inside"
    " the other's interval. Moved: any other change, also where a side has no interval. Two results that share seeds vary less "
    "from each other than their intervals suggest: intervals that meet do not show that nothing changed."
)


def write_differences(differences: Differences, output: Path) -> None:
    """Write the page, in the language of B's plan."""
    with spoken(differences.b.language):
        write_text(output, render_differences(differences))


def render_differences(differences: Differences) -> str:
    """The page as text."""
    a, b = differences.a, differences.b
    if a.experiment == b.experiment:
        title = words("What changed between two results of “{experiment}”", experiment=a.experiment)
    else:
        title = words("What changed from “{a}” to “{b}”", a=a.experiment, b=b.experiment)
    return (
        page_environment()
        .get_template("diff.html")
        .render(
            title=title,
            language=current_language(),
            summary=[*summarize(differences), words("A: {a}. B: {b}.", a=origin(a), b=origin(b))],
            reading=words(READING),
            sections=[change_table(differences, kind) for kind in KEYS],
        )
    )


def origin(result: Result) -> str:
    """Which result a side is."""
    return words("experiment {experiment}, commit {commit}", experiment=result.experiment, commit=result.commit)


def summarize(differences: Differences) -> list[str]:
    """What changed, in one to three sentences, the most important one first."""
    numbers = {"verdicts": differences.verdicts, "estimates": differences.estimates}
    apart, moved, within, other = (differences.moved(change) for change in MOVES)
    only_a, only_b = differences.only(ONLY_A), differences.only(ONLY_B)
    if differences.changed:
        first = words(
            "{changed:,} of {verdicts:,} verdicts changed, and {apart:,} of {estimates:,} estimates moved apart.",
            changed=differences.verdicts_changed,
            apart=apart,
            **numbers,
        )
    elif moved or within or other:
        first = words("No verdict of {verdicts:,} changed, and no estimate of {estimates:,} moved apart.", **numbers)
    else:
        first = words("All {verdicts:,} verdicts and all {estimates:,} estimates are the same in both.", **numbers)
    lines = [first]
    if moved or within or other:
        lines.append(
            words(
                "Of the other estimates {moved:,} moved, {within:,} moved within the intervals, {other:,} are the same with a "
                "different interval, and {same:,} are the same.",
                moved=moved,
                within=within,
                other=other,
                same=differences.estimates - apart - moved - within - other,
            )
        )
    if only_a or only_b:
        lines.append(
            words(
                "Claims and estimates only in A: {a:,}; only in B: {b:,}. They count as no change.", a=only_a, b=only_b
            )
        )
    return lines
