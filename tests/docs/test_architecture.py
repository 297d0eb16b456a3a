"""docs/architecture.md names packages, files and functions as they are."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from support.markdown_pages import blocks, prose
from support.workflow_fixture import ROOT

PAGE = ROOT / "docs/architecture.md"
PACKAGE = ROOT / "src/descentlab"
# A file and, in parentheses, names that it defines.
NAMED = re.findall(r"`([\w/]+\.py)`\s+\((`\w+`(?:,\s+`\w+`)*)\)", prose(PAGE))


def defined_names(source: str) -> set[str]:
    """The functions, classes and constants of a module."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_page_names_functions() -> None:
    assert len(NAMED) >= 30


@pytest.mark.parametrize(("file", "names"), NAMED)
def test_what_a_file_is_said_to_define_is_there(file: str, names: str) -> None:
    defined = defined_names((PACKAGE / file).read_text(encoding="utf-8"))
    assert set(re.findall(r"\w+", names)) - defined == set()


def test_the_diagram_is_the_contract_of_imports() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    declared = [set(re.findall(r"descentlab\.(\w+)", layer)) for layer in layers]
    known = set().union(*declared)
    (diagram,) = blocks("text", "docs/architecture.md")
    lines = [re.split(r" {3,}", line.strip()) for line in diagram.text.splitlines()]
    drawn = [packages for parts in lines if (packages := set(parts) & known)]
    assert drawn == declared
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert known == folders | {"__main__"}
