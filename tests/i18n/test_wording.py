"""Wording: the laws of its functions, the catalogs against the code, and a comparison without an untranslated word."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from string import Formatter
from typing import get_args

import numpy as np
import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from descentlab.analysis import compare, pairing
from descentlab.analysis.claims.judgment import read_claims
from descentlab.experiment.provenance import PACKAGE
from descentlab.i18n import wording
from descentlab.i18n.language import Language
from descentlab.i18n.wording import CATALOGS, counted, current_language, joined, message, spoken, words
from descentlab.problems.table import BUILTIN_PROBLEMS
from descentlab.report.phrases import REMARKS
from support.comparison_fixture import OPTIMIZERS, PROBLEMS
from support.comparison_texts import everything_went_well, much_is_absent, much_went_wrong, shown_texts

LANGUAGES = [language for language in get_args(Language) if language != "en"]
ARGUMENTS = {"words": (0,), "message": (0,), "counted": (1, 2)}  # of the messages among a call's arguments
CLAIM_FIELDS = ("english", "contrast", "positive", "unit", "not_tested")
SPANISH = {
    "{n} problem": "{n} problema",
    "{n} problems": "{n} problemas",
    "{name} on {problem}": "en {problem}, {name}",
    "{first} and {last}": "{first} y {last}",
}
# Messages that are the same in both languages: names, symbols, and a few words.
SAME = {
    "es": {
        "A: {a}. B: {b}.",
        "AdaGrad + momentum",
        "B − A",
        "Beale",
        "Rastrigin",
        "Rosenbrock",
        "Styblinski–Tang",
        "momentum",
        "n",
        "p (Holm)",
        "total",
    }
}


@pytest.fixture
def spanish(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Spanish of a few sentences is spoken."""
    monkeypatch.setattr(wording, "read_catalog", lambda language: {"es": SPANISH}[language])
    with spoken("es"):
        yield


def test_english_is_what_is_written() -> None:
    assert current_language() == "en"
    assert words("{name} on {problem}", name="adam", problem="mlp") == "adam on mlp"
    assert words("{share:.0%} of {n:,}", share=0.5, n=1000) == "50% of 1,000"
    assert message("{n} problems") == "{n} problems"


@pytest.mark.usefixtures("spanish")
def test_a_translation_takes_the_fields_in_its_own_order() -> None:
    assert words("{name} on {problem}", name="adam", problem="mlp") == "en mlp, adam"


@pytest.mark.usefixtures("spanish")
def test_what_has_no_translation_stays_english() -> None:
    assert words("{n} {what}", n=2, what="own") == "2 own"
    assert words("my_problem") == "my_problem"


def test_without_values_braces_are_letters() -> None:
    assert words("labels in {0, 1}") == "labels in {0, 1}"
    assert words("{{0, 1}} and {n}", n=2) == "{0, 1} and 2"


@pytest.mark.usefixtures("spanish")
def test_languages_nest_and_the_outer_one_is_back_even_after_an_error() -> None:
    with spoken("en"):
        assert (current_language(), joined(["a", "b"])) == ("en", "a and b")
        with pytest.raises(KeyError), spoken("es"):
            words("{n} problem", count=1)
        assert current_language() == "en"
    assert (current_language(), joined(["a", "b"])) == ("es", "a y b")


@pytest.mark.parametrize(("parts", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_lists_end_with_and(parts: list[str], text: str) -> None:
    assert joined(parts) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 problems"), (1, "1 problem"), (2, "2 problems"), (1234, "1,234 problems")]
)
def test_one_is_singular(n: int, text: str) -> None:
    assert counted(n, "{n} problem", "{n} problems") == text


@pytest.mark.usefixtures("spanish")
def test_both_forms_of_a_count_are_translated() -> None:
    assert [counted(n, "{n} problem", "{n} problems") for n in (1, 2)] == ["1 problema", "2 problemas"]
    assert counted(3, "{n} run of {optimizer}", "{n} runs of {optimizer}", optimizer="adam") == "3 runs of adam"


def arguments() -> Iterator[tuple[str, ast.expr]]:
    """What is given as a message in the package's Python files, and where."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ARGUMENTS:
                where = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                yield from ((where, node.args[place]) for place in ARGUMENTS[node.func.id] if place < len(node.args))


@cache
def messages() -> frozenset[str]:
    """Every sentence of the code, the templates and the claims that a reader may see.

    Python is read as a tree: babel's extractor takes the key in ``words(about["metric"])`` for a message.
    """
    found = {node.value for _, node in arguments() if isinstance(node, ast.Constant)}
    keywords = {name: tuple(place + 1 for place in places) for name, places in ARGUMENTS.items()}
    for template in sorted(PACKAGE.joinpath("report/templates").glob("*.html")):
        for _, text, *_ in extract_from_file(babel_extract, template, keywords, options={"silent": "false"}):
            found |= {text} if isinstance(text, str) else set(text)
    found |= {text for claim in read_claims() for name in CLAIM_FIELDS if (text := getattr(claim, name))}
    return frozenset(found)


def put_together(node: ast.expr) -> bool:
    """Whether a message is made on the spot: nobody could translate it."""
    if isinstance(node, ast.IfExp):
        return any(isinstance(side, ast.Constant) or put_together(side) for side in (node.body, node.orelse))
    return isinstance(node, (ast.JoinedStr, ast.BinOp))


def test_a_message_is_one_literal_or_from_a_table() -> None:
    assert [where for where, node in arguments() if put_together(node)] == []


def fields(text: str) -> list[tuple[str, str | None, str | None]]:
    """Name, format and conversion of each field."""
    return sorted((name, spec, kind) for _, name, spec, kind in Formatter().parse(text) if name is not None)


def is_a_format(spec: str) -> bool:
    """Whether a whole number, another or a text can be written so."""
    for value in (1, 1.0, "text"):
        try:
            format(value, spec)
        except ValueError:
            continue
        return True
    return False


def test_formats_of_the_messages_can_be_read() -> None:
    wrong = {text for text in messages() for _, spec, _ in fields(text) if spec and not is_a_format(spec)}
    assert wrong == set()


@cache
def catalog(language: str) -> Catalog:
    """The file as it stands."""
    with (CATALOGS / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def translations(language: str) -> dict[str, str]:
    """Translation by message."""
    return {str(entry.id): str(entry.string) for entry in catalog(language) if entry.id}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalog_has_every_message_and_no_other(language: str) -> None:
    there = translations(language).keys()
    missing, dead = sorted(messages() - there), sorted(there - messages())
    assert missing == [], "missing:\n" + "\n".join(missing)
    assert dead == [], "dead:\n" + "\n".join(dead)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalog_has_each_message_once_translated_and_not_in_doubt(language: str) -> None:
    text = (CATALOGS / f"{language}.po").read_text(encoding="utf-8")
    assert len(re.findall("^msgid ", text, re.MULTILINE)) == len(catalog(language)) + 1  # and the head
    assert [entry.id for entry in catalog(language) if entry.id and (entry.fuzzy or not entry.string)] == []
    assert list(catalog(language).obsolete) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_fields_of_its_message(language: str) -> None:
    assert [text for text, said in translations(language).items() if fields(text) != fields(said)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_ends_as_its_message_does(language: str) -> None:
    """Sentences are put beside each other: a space or a full stop too many, or one too few, would show."""

    def ends(text: str) -> tuple[bool, str]:
        return text[:1] == " ", text[-1] if text[-1] in " .:;" else ""

    assert [text for text, said in translations(language).items() if ends(text) != ends(said)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_is_another_sentence(language: str) -> None:
    same = {text for text, said in translations(language).items() if text == said and has_words(text)}
    assert same == SAME[language]


def has_words(text: str) -> bool:
    """Whether anything but its fields has letters."""
    return any(re.search(r"[^\W\d_]", literal) for literal, *_ in Formatter().parse(text))


def test_in_spanish_a_claim_reads_as_on_its_slide() -> None:
    said = translations("es")
    assert {claim.english: said[claim.english] for claim in read_claims()} == {
        claim.english: claim.spanish for claim in read_claims()
    }


def bracketed(text: str) -> str:
    """``text`` with its own words in brackets, its fields outside them."""
    parts = []
    for literal, name, spec, conversion in Formatter().parse(text):
        parts.append(f"⟦{literal.replace('{', '{{').replace('}', '}}')}⟧" if literal else "")
        if name is not None:
            parts.append(f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}")
    return "".join(parts)


@pytest.fixture(scope="module")
def both() -> list[tuple[list[str], list[str]]]:
    """What each of three comparisons says in English, and with every translation in brackets."""
    made = everything_went_well, much_went_wrong, much_is_absent
    brackets = {text: bracketed(text) for text in messages()}
    with pytest.MonkeyPatch.context() as patch:
        # Without what only describes: the bootstrap and the simulation of coverage.
        patch.setattr(pairing, "bootstrap_interval", lambda differences, seed: (np.nan, np.nan))
        patch.setattr(compare, "COVERAGE_TRIALS", 2)
        compared = [one() for one in made]
        english = [shown_texts(*one) for one in compared]
        patch.setattr(wording, "read_catalog", lambda language: brackets)
        with spoken("es"):
            return list(zip(english, [shown_texts(*one) for one in compared], strict=True))


def test_the_comparisons_have_every_note_to_lose(both: list[tuple[list[str], list[str]]]) -> None:
    text = "\n".join(line for _, other in both for line in other)
    notes = set(REMARKS.values())
    assert {note for note in notes for part in re.findall("⟦[^⟧]*⟧", bracketed(note)) if part not in text} == set()


def test_another_language_changes_nothing_else(both: list[tuple[list[str], list[str]]]) -> None:
    for english, other in both:
        assert [text.replace("⟦", "").replace("⟧", "") for text in other] == english


def test_all_that_a_comparison_says_is_from_the_catalog(both: list[tuple[list[str], list[str]]]) -> None:
    names = {*OPTIMIZERS, *PROBLEMS, *BUILTIN_PROBLEMS, "Adam", "well", "n"}
    left = {
        part: text
        for _, other in both
        for text in other
        for part in re.findall(r"\w+", re.sub("⟦[^⟦⟧]*⟧", " ", text))
        if re.search(r"[^\W\d_]", part) and part not in names
    }
    assert left == {}
