"""The ledger as the report shows it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from descentlab.analysis.claims.judgment import ClaimVerdict
from descentlab.experiment.traits import TRAITS
from descentlab.i18n.wording import spoken
from descentlab.report.blocks import Paragraph, Table
from descentlab.report.phrases import VERDICTS, reason_words
from descentlab.report.sections.ledger import claim_table, claims, ledger_lines, separation_words
from descentlab.report.trait_phrases import TRAIT_WORDS
from support.report_evidence import evidence_of, table_named, values_of


@pytest.fixture(scope="module")
def evidence():  # type: ignore[no-untyped-def]
    return evidence_of()


def test_every_claim_has_a_place_to_link_to(evidence) -> None:  # type: ignore[no-untyped-def]
    blocks = [block for block in claims(evidence).blocks if isinstance(block, Table | Paragraph)]
    identities = [block.identity for block in blocks if block.identity]
    assert identities == [f"claim-{entry['id']}" for entry in evidence.comparison.claims]


def test_pieces_stand_with_interval_n_and_margin(evidence) -> None:  # type: ignore[no-untyped-def]
    table = table_named(claims(evidence), "claim-slightly-worse")
    assert table.title.lower().startswith(f"{VERDICTS[ClaimVerdict.CONTRADICTED]}: ")
    where, verdict, difference, unit, n, margin, _, settle, _ = table.rows[0]
    assert (where, verdict, unit, n, margin, settle) == ("up", "contradicted", "accuracy", "6", "0.02", "")
    assert difference.count("\N{MINUS SIGN}") == 3 and difference.endswith("]")
    assert table.data is not None and table.data["runs"].str.contains("up.adam.tuned.final").any()


def test_what_is_not_tested_says_why(evidence) -> None:  # type: ignore[no-untyped-def]
    texts = {block.identity: block.text for block in claims(evidence).blocks if isinstance(block, Paragraph)}
    reasons = {entry["id"]: entry["reason"] for entry in evidence.comparison.claims if not entry["pieces"]}
    assert {"claim", "operations not counted"} <= {reason["code"] for reason in reasons.values()}
    assert all(reason_words(reason) in texts[f"claim-{claim}"] for claim, reason in reasons.items())


def test_in_spanish_a_claim_is_the_slide_s_own_sentence_and_stands_once(evidence, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("descentlab.i18n.wording.read_catalog", lambda language: {"contradicted": "refutada"})
    with spoken("es"):
        section = claims(evidence)
    table = table_named(section, "claim-slightly-worse")
    entries = {entry["id"]: entry for entry in evidence.comparison.claims}
    slide = entries["slightly-worse"]["spanish"]
    assert table.title == f"Refutada: {slide}"
    assert slide not in table.caption and table.rows[0][1] == "refutada"
    (untested,) = [b.text for b in section.blocks if isinstance(b, Paragraph) and b.identity == "claim-most-used"]
    entry = entries["most-used"]
    assert untested.count(entry["spanish"]) == 1 and entry["english"] not in untested


def test_the_first_page_says_what_was_compared_where_something_was(evidence) -> None:  # type: ignore[no-untyped-def]
    lines = ledger_lines(evidence.comparison.claims, pd.DataFrame())
    assert any(line["pieces"] for line in lines) and not all(line["pieces"] for line in lines)
    for line in lines:
        assert (line["contrast"] in line["compared"]) if line["pieces"] else (line["compared"] == "")


def test_where_a_verdict_rests_on_a_marked_row_it_has_the_mark(evidence) -> None:  # type: ignore[no-untyped-def]
    def with_remark(entry: dict[str, Any], code: str) -> dict[str, Any]:
        first, *others = entry["pieces"]
        return {**entry, "pieces": [{**first, "remarks": [{"code": code, "name": "adam"}]}, *others]}

    (entry,) = [entry for entry in evidence.comparison.claims if entry["id"] == "slightly-worse"]
    for code, mark in (("undertuned", "†"), ("own settings", "‡")):
        (line,) = ledger_lines([with_remark(entry, code)], pd.DataFrame())
        assert line["sides"] == f"{VERDICTS[ClaimVerdict.CONTRADICTED]}: up {mark}, down"
        table = claim_table(with_remark(entry, code), pd.DataFrame())
        assert table.title.endswith(f" {mark}") and [row[0] for row in table.rows] == [f"up {mark}", "down"]


def test_a_mixed_claim_names_the_traits_that_separate_its_sides() -> None:
    verdicts = {"a": "supported", "b": "negligible", "c": "negligible"}
    pieces = [{"place": {"code": "problem", "problem": name}, "verdict": said} for name, said in verdicts.items()]
    traits = pd.DataFrame({"problem": list(verdicts), **dict.fromkeys(TRAITS, 0.0)}).assign(
        attention=[1.0, 0.0, 0.0], convex=[0.0, 0.0, 1.0]
    )
    said = separation_words(pieces, traits)
    assert [trait for trait, name in TRAIT_WORDS.items() if name in said] == ["attention"]
    # One problem against two, two traits that vary: either separates them by chance in 8 of 9 cases.
    assert values_of(said)[:2] == [1, 2] and "89%" in said.replace("\N{NO-BREAK SPACE}", "")
    assert separation_words(pieces[1:], traits) == ""
