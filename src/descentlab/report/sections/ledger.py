"""The slides' claims: each with its verdict and every piece of evidence behind it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from descentlab.analysis.formatting import BOUND_SIGNS, value_of
from descentlab.i18n.wording import current_language, message, words
from descentlab.report.blocks import Evidence, Paragraph, Section, Table, number

HEADERS = (
    message("on"),
    message("verdict"),
    message("difference [interval]"),
    message("unit"),
    message("n"),
    message("margin"),
    message("p (Holm)"),
    message("n to settle"),
    message("note"),
)


def claims(evidence: Evidence) -> Section:
    """Every claim with its pieces."""
    blocks: list[Any] = [
        Paragraph(
            words(
                "Each claim is tested by what is named under it; a positive difference is as the claim says (a ratio above 1 "
                "likewise). Intervals and p are corrected by Holm over a claim's pieces. A piece is supported or contradicted "
                "where its whole interval lies on one side of 0, negligible where it lies inside the margin, inconclusive "
                "otherwise; a claim is mixed where its pieces settle on different sides, and inconclusive where fewer than "
                "half of them settle."
            )
        )
    ]
    for entry in evidence.comparison.claims:
        blocks.append(claim_table(entry) if entry["pieces"] else untested_claim(entry))
    return Section("claims", words("The slides' claims, piece by piece"), blocks)


def untested_claim(entry: dict[str, Any]) -> Paragraph:
    """A claim without evidence, and why there is none."""
    reason = words(str(entry["reason"]))
    text = (
        words("Not tested: {claim}: {reason}.", claim=entry["spanish"], reason=reason)
        if current_language() == "es"
        else words(
            "Not tested: {claim} (“{spanish}”): {reason}.",
            claim=entry["english"],
            spanish=entry["spanish"],
            reason=reason,
        )
    )
    return Paragraph(text, identity=f"claim-{entry['id']}")


def claim_table(entry: dict[str, Any]) -> Table:
    """One claim: a row a piece of evidence."""
    rows = []
    for piece in entry["pieces"]:
        low, high = (value_of(piece[end]) for end in ("low", "high"))
        ends = words("(no interval)") if math.isnan(low) else f"[{number(low)}, {number(high)}]"
        needed = value_of(piece["n_needed"])
        settle = "" if math.isnan(needed) else words("no number") if math.isinf(needed) else f"{needed:,.0f}"
        bound = str(piece["bound"])
        rows.append(
            [
                words(str(piece["where"])),
                words(str(piece["verdict"])),
                f"{words(BOUND_SIGNS[bound])}{number(value_of(piece['estimate']))} {ends}",
                words(str(piece["unit"])),
                str(piece["n"]),
                number(value_of(piece["margin"])),
                number(value_of(piece["p_holm"])),
                settle,
                words(str(piece["note"])),
            ]
        )
    about = {name: words(str(entry[name])) for name in ("contrast", "positive")}
    if current_language() == "es":
        claim = entry["spanish"]
        caption = words("Slide “{slide}”. Compared: {contrast}. Positive: {positive}.", slide=entry["slide"], **about)
    else:
        claim = entry["english"]
        caption = words(
            "Slide “{slide}”: “{spanish}”. Compared: {contrast}. Positive: {positive}.",
            slide=entry["slide"],
            spanish=entry["spanish"],
            **about,
        )
    data = pd.DataFrame([{**piece, "runs": " ".join(piece["runs"])} for piece in entry["pieces"]])
    title = f"{words(str(entry['verdict'])).capitalize()}: {claim}"
    headers = [words(header) for header in HEADERS]
    return Table(
        f"claim-{entry['id']}", title, headers, rows, caption, data, numeric=frozenset({4, 5, 6, 7}), folded=True
    )
