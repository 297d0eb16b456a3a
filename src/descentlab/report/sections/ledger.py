"""The slides' claims: each with its verdict and every piece of evidence behind it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from descentlab.analysis.claims.judgment import LARGE, SMALL, ClaimVerdict, value_of
from descentlab.analysis.claims.separating_traits import separate_sides
from descentlab.analysis.remarks import name_place, pack_remarks
from descentlab.i18n.wording import current_language, joined, message, words
from descentlab.report.blocks import Evidence, Paragraph, Section, Table, number
from descentlab.report.formatting import BOUND_SIGNS
from descentlab.report.marks import OWN_SETTINGS, UNDERTUNED
from descentlab.report.phrases import place_words, reason_words, remark_words, unit_words, verdict_words
from descentlab.report.trait_phrases import TRAIT_WORDS

MARKS = {"undertuned": UNDERTUNED, "own settings": OWN_SETTINGS}  # of the rows that remarks are on
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
                "Each claim is tested by the comparison named under it; a positive difference (or a ratio above 1) agrees with "
                "the claim. Intervals and p are Holm-corrected over a claim's pieces alone: among all contrasts, the same "
                "difference may have another interval and verdict. A piece is supported or contradicted "
                "where its whole interval lies on one side of 0, negligible where it lies inside the margin, and inconclusive "
                "otherwise; small where it has a direction, but the estimate lies within the margin. A claim is mixed where its "
                "pieces settle on different sides, and inconclusive unless more of them settle than stay open."
            )
        )
    ]
    for entry in evidence.comparison.claims:
        blocks.append(claim_table(entry, evidence.measurement("traits")) if entry["pieces"] else untested_claim(entry))
    return Section("claims", words("The slides' claims, piece by piece"), blocks)


def ledger_lines(claims: list[dict[str, Any]], traits: pd.DataFrame) -> list[dict[str, Any]]:
    """The claims for the first page: each with what was compared and where it stands which way, or why it was not tested.

    Args:
        claims: the ledger.
        traits: of the problems; may be empty.
    """
    return [
        {
            **entry,
            "compared": words("compared: {contrast}", contrast=words(entry["contrast"])) if entry["pieces"] else "",
            "sides": "; ".join(filter(None, [sides_words(entry["pieces"]), separation_words(entry["pieces"], traits)])),
            "reason": reason_words(entry["reason"]) if entry["reason"] else "",
        }
        for entry in claims
    ]


def sides_words(pieces: list[dict[str, Any]]) -> str:
    """Where each verdict stands, in the order of ClaimVerdict."""
    order = [(verdict, size) for verdict in ClaimVerdict for size in ("", SMALL, LARGE)]
    sides = {}
    for verdict, size in order:
        alike = [piece for piece in pieces if (piece["verdict"], piece["size"]) == (verdict, size)]
        if alike:
            sides[verdict_words(alike[0])] = ", ".join(
                place_words(piece["place"]) + marks_of([piece]) for piece in alike
            )
    return "; ".join(f"{judged}: {places}" for judged, places in sides.items())


def marks_of(pieces: list[dict[str, Any]]) -> str:
    """The marks of the rows behind some pieces, as they stand after a name."""
    codes = {one["code"] for piece in pieces for one in piece["remarks"]}
    return "".join(f" {mark}" for code, mark in MARKS.items() if code in codes)


def separation_words(pieces: list[dict[str, Any]], traits: pd.DataFrame) -> str:
    """Which traits separate the sides of a mixed claim, and how often chance does; empty where it isn't mixed over problems."""
    found = separate_sides(pieces, traits)
    if found is None:
        return ""
    names = joined([words(TRAIT_WORDS[trait]) for trait in found.traits]) if found.traits else words("no trait")
    return words(
        "what separates where it is {verdict} (n = {n}) from the rest (n = {rest}): {traits} (of {all} traits any does so by "
        "chance in {chance:.0%} of cases)",
        n=found.n,
        verdict=verdict_words({"verdict": found.verdict, "size": ""}),
        rest=found.n_rest,
        traits=names,
        all=found.n_traits,
        chance=found.chance,
    )


def untested_claim(entry: dict[str, Any]) -> Paragraph:
    """A claim without evidence, and why there is none."""
    reason = reason_words(entry["reason"])
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


def claim_table(entry: dict[str, Any], traits: pd.DataFrame) -> Table:
    """One claim: a row a piece of evidence; the caption says which traits separate the sides, if it is mixed."""
    rows = []
    for piece in entry["pieces"]:
        low, high = (value_of(piece[end]) for end in ("low", "high"))
        ends = words("(no interval)") if math.isnan(low) else f"[{number(low)}, {number(high)}]"
        needed = value_of(piece["n_needed"])
        settle = "" if math.isnan(needed) else words("no number") if math.isinf(needed) else f"{needed:,.0f}"
        bound = str(piece["bound"])
        rows.append(
            [
                place_words(piece["place"]) + marks_of([piece]),
                verdict_words(piece),
                f"{words(BOUND_SIGNS[bound])}{number(value_of(piece['estimate']))} {ends}",
                unit_words(piece["unit"]),
                str(piece["n"]),
                number(value_of(piece["margin"])),
                number(value_of(piece["p_corrected"])),
                settle,
                remark_words(piece["remarks"]),
            ]
        )
    sides = {name: words(str(entry[name])) for name in ("contrast", "positive")}
    if current_language() == "es":
        claim = entry["spanish"]
        caption = words("Slide “{slide}”. Compared: {contrast}. Positive: {positive}.", slide=entry["slide"], **sides)
    else:
        claim = entry["english"]
        caption = words(
            "Slide “{slide}”: “{spanish}”. Compared: {contrast}. Positive: {positive}.",
            slide=entry["slide"],
            spanish=entry["spanish"],
            **sides,
        )
    if separation := separation_words(entry["pieces"], traits):
        caption += f" {separation[0].upper()}{separation[1:]}."
    data = pd.DataFrame([downloaded(piece) for piece in entry["pieces"]])
    title = f"{verdict_words(entry).capitalize()}: {claim}{marks_of(entry['pieces'])}"
    headers = [words(header) for header in HEADERS]
    return Table(
        f"claim-{entry['id']}", title, headers, rows, caption, data, numeric=frozenset({4, 5, 6, 7}), folded=True
    )


def downloaded(piece: dict[str, Any]) -> dict[str, Any]:
    """A piece of evidence as a row of the data to download: codes, the same in every language."""
    place, remarks, runs = name_place(piece["place"]), pack_remarks(piece["remarks"]), " ".join(piece["runs"])
    return {**piece, "place": place, "remarks": remarks, "runs": runs}
