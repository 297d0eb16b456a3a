"""What the source cites of docs/ exists, and so does every path and link of README.md, docs/ and workflow/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.markdown_pages import PAGES
from support.workflow_fixture import ROOT

CITING = ("src", "tests", "workflow", "benchmarks")

# A citation is a page and a heading of it: docs/protocol.md, "Arms". It may run on over lines of a docstring or comment.
CITATION = re.compile(r'(docs/\w+\.md), "([^"\n]+)"')
FENCED = re.compile(r"^(```+).*?^\1", flags=re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:\.ci|benchmarks|docs|src|tests|workflow)/[\w./*-]*\w[\w./*-]*")


def find_citations(text: str) -> list[tuple[str, str]]:
    """Page and heading of each citation in a source file."""
    return CITATION.findall(re.sub(r"\s*\n\s*(?:#|//)?\s*", " ", text))


def prose_of(markdown: str) -> str:
    """A page without its fenced blocks."""
    return FENCED.sub("", markdown)


def headings_of(page: Path) -> list[str]:
    """The headings of a page, without their marks."""
    return re.findall(r"^#+ +(.+?) *$", prose_of(page.read_text(encoding="utf-8")), flags=re.M)


def anchor_of(heading: str) -> str:
    """How GitHub links to a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def unresolved(citations: list[tuple[str, str]], root: Path) -> list[tuple[str, str]]:
    """The citations whose page is not there, or lacks their heading."""
    return [
        (name, heading)
        for name, heading in citations
        if not (root / name).is_file() or heading not in headings_of(root / name)
    ]


def missing_paths(markdown: str, root: Path) -> list[str]:
    """The file paths in a page's backticks that nothing matches; ``*`` stands for any name."""
    words = [word.partition("::")[0] for code in CODE.findall(prose_of(markdown)) for word in code.split()]
    return [word for word in words if PATH.fullmatch(word) and not any(root.glob(word.rstrip("/")))]


def broken_links(page: Path) -> list[str]:
    """The page's relative links whose file or heading is not there."""
    broken = []
    for target in LINK.findall(prose_of(page.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        if not linked.exists() or (anchor and anchor not in map(anchor_of, headings_of(linked))):
            broken.append(target)
    return broken


def source_files() -> Iterator[tuple[str, str]]:
    """Name and text of every source file that may cite; not this one, whose citations are made up."""
    for path in sorted(path for folder in CITING for path in (ROOT / folder).rglob("*")):
        if path.is_file() and path.suffix != ".pyc" and path != Path(__file__):
            try:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:  # a picture, or other data
                continue


def test_every_citation_resolves() -> None:
    citations = {name: found for name, text in source_files() if (found := find_citations(text))}
    assert citations
    assert {name: lost for name, found in citations.items() if (lost := unresolved(found, ROOT))} == {}


def test_no_page_is_cited_by_the_number_of_a_section() -> None:
    by_number = re.compile(r"protocol(?:\.md)?,? \(?(?:sections? \d|§)", flags=re.I)
    assert [name for name, text in source_files() if by_number.search(text)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""Sealed (docs/page.md, "One heading")."""', [("docs/page.md", "One heading")]),
        ('"""Sealed (docs/page.md,\n    "One heading")."""', [("docs/page.md", "One heading")]),
        (
            '# Sealed (docs/page.md, "One\n# heading"), paired (docs/other.md, "B").',
            [
                ("docs/page.md", "One heading"),
                ("docs/other.md", "B"),
            ],
        ),
        ("read_text('docs/page.md')", []),
    ],
)
def test_citations_are_found_wherever_a_line_breaks(text: str, expected: list[tuple[str, str]]) -> None:
    assert find_citations(text) == expected


def test_a_heading_or_page_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("# Title\n## One heading\n```\n# a comment\n```\n")
    there = [("docs/page.md", "One heading"), ("docs/page.md", "Title")]
    gone = [("docs/page.md", "Another"), ("docs/page.md", "a comment"), ("docs/other.md", "Title")]
    assert unresolved([*there, *gone], tmp_path) == gone


def test_paths_and_links_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "src" / "package").mkdir(parents=True)
    (tmp_path / "src" / "package" / "module.py").touch()
    page = tmp_path / "page.md"
    page.write_text(
        "# The *first* heading\n[a](src/package) [b](#the-first-heading) [c](https://example.org) [d](gone.md) [e](#gone)\n"
        "`src/package/` `python src/package/*.py` `src/package/module.py::test` `src/gone.py` `tests/*.py` `src/…`\n"
        "```\n`src/fenced.py`\n```\n"
    )
    assert missing_paths(page.read_text(), tmp_path) == ["src/gone.py", "tests/*.py"]
    assert broken_links(page) == ["gone.md", "#gone"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_and_links_of_the_pages_exist(page: Path) -> None:
    assert missing_paths(page.read_text(encoding="utf-8"), ROOT) == []
    assert broken_links(page) == []


def test_the_pages_name_paths_and_links() -> None:
    assert any(PATH.search(page.read_text(encoding="utf-8")) for page in PAGES)
    assert any(LINK.search(page.read_text(encoding="utf-8")) for page in PAGES)


def test_the_protocol_has_the_estimand_of_every_claim() -> None:
    claims = yaml.safe_load((ROOT / "src/descentlab/analysis/claims/claims.yaml").read_text(encoding="utf-8"))
    pattern = re.compile(r"^### (\S+)\n(.*?)(?=^#|\Z)", flags=re.M | re.S)
    sections = dict(pattern.findall((ROOT / "docs/protocol.md").read_text(encoding="utf-8")))
    assert [claim["id"] for claim in claims] == list(sections)
    for claim in claims:
        assert f"`{claim.get('estimand', 'not tested')}`" in sections[claim["id"]]
