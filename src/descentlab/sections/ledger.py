"""The slides' claims: each with its verdict and every piece of evidence behind it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from descentlab.answers import BOUND_SIGNS, value_of
from descentlab.sections.blocks import Evidence, Paragraph, Section, Table, number

HEADERS = ["on", "verdict", "difference [interval]", "unit", "n", "margin", "p (Holm)", "n to settle", "note"]


def claims(evidence: Evidence) -> Section:
    """Every claim with its pieces."""
    blocks: list[Any] = [
        Paragraph(
            "Each claim is tested by what is named under it; a positive difference is as the claim says (a ratio above 1 "
            "likewise). Intervals and p are corrected by Holm over a claim's pieces. A piece is supported or contradicted "
            "where its whole interval lies on one side of 0, negligible where it lies inside the margin, inconclusive "
            "otherwise; a claim is mixed where its pieces settle on different sides, and inconclusive where fewer than half "
            "of them settle."
        )
    ]
    for entry in evidence.comparison.claims:
        if entry["pieces"]:
            blocks.append(claim_table(entry))
        else:
            text = f"Not tested: {entry['english']} (“{entry['spanish']}”): {entry['reason']}."
            blocks.append(Paragraph(text, identity=f"claim-{entry['id']}"))
    return Section("claims", "The slides' claims, piece by piece", blocks)


def claim_table(entry: dict[str, Any]) -> Table:
    """One claim: a row a piece of evidence."""
    rows = []
    for piece in entry["pieces"]:
        low, high = (value_of(piece[end]) for end in ("low", "high"))
        ends = "(no interval)" if math.isnan(low) else f"[{number(low)}, {number(high)}]"
        needed = value_of(piece["n_needed"])
        settle = "" if math.isnan(needed) else "no number" if math.isinf(needed) else f"{needed:,.0f}"
        rows.append(
            [piece["where"], piece["verdict"], f"{BOUND_SIGNS[piece['bound']]}{number(value_of(piece['estimate']))} {ends}",
             piece["unit"], str(piece["n"]), number(value_of(piece["margin"])), number(value_of(piece["p_holm"])), settle,
             piece["note"]]
        )  # fmt: skip
    caption = (
        f"Slide “{entry['slide']}”: “{entry['spanish']}”. Compared: {entry['contrast']}. Positive: {entry['positive']}."
    )
    data = pd.DataFrame([{**piece, "runs": " ".join(piece["runs"])} for piece in entry["pieces"]])
    title = f"{entry['verdict'].capitalize()}: {entry['english']}"
    return Table(
        f"claim-{entry['id']}", title, HEADERS, rows, caption, data, numeric=frozenset({4, 5, 6, 7}), folded=True
    )
