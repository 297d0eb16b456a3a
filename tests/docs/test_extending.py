"""The examples of docs/extending.md, taken from the page, put into a copy of the package, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.markdown_pages import Block, blocks
from support.workflow_fixture import ROOT

PAGE = "docs/extending.md"


def write_block(folder: Path, block: Block) -> None:
    """A block as a file of the folder, or at the end of one."""
    path = folder / block.file
    before = f"{path.read_text(encoding='utf-8').rstrip()}\n\n\n" if path.exists() else ""
    path.write_text(before + block.text.split("\n", 1)[1], encoding="utf-8")


def apply_diff(folder: Path, block: Block) -> None:
    """Replace the lines that the diff knows, once in its file, by those that it gives."""
    head, *lines = block.text.splitlines()
    path = folder / head.removeprefix("+++ ")
    old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] in f" {side}") for side in "-+")
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, block.text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What support/extended_package.py sees in a copy of the package with all examples."""
    folder = tmp_path_factory.mktemp("extending")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (readme,) = blocks("python", "README.md")
    (folder / "my_problem.py").write_text(readme.text)
    for block in [block for language in ("python", "yaml", "po") for block in blocks(language, PAGE) if block.file]:
        write_block(folder, block)
    for block in blocks("diff", PAGE):
        apply_diff(folder, block)
    (config,) = [block for block in blocks("yaml", PAGE) if not block.file]
    done = subprocess.run(
        [sys.executable, "-m", "support.extended_package", config.text],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(folder), str(ROOT / "tests")])},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert Path(seen["package"]).is_relative_to(folder)
    return seen


def test_the_optimizer_follows_its_rule(observed: dict[str, Any]) -> None:
    assert observed["weights"] == [0.75, 1.25, 1.0]


def test_optimizer_and_problem_are_trained(observed: dict[str, Any]) -> None:
    assert sorted(map(tuple, observed["runs"])) == sorted(
        (problem, optimizer, "finished")
        for problem in ("linear_regression", "problem")
        for optimizer in ("momentum", "sign_descent")
        for _ in range(2)
    )


def test_the_measurement_is_right(observed: dict[str, Any]) -> None:
    (start, below), (_, above) = observed["below"], observed["above"]
    assert below < start < above


def test_the_section_stands_where_the_list_puts_it_and_shows_the_measurement(observed: dict[str, Any]) -> None:
    places = [place for place, _ in observed["english"]]
    assert places[places.index("sensitivity") + 1] == "stability"
    section = re.search(r'<section id="stability">.*?</section>', observed["page"], flags=re.S)
    assert section is not None
    cells = re.findall(r"<t[hd]\b[^>]*>([^<]+)</t[hd]>", section[0])
    assert cells == ["problem", "learning rate", "linear_regression", observed["table"]]


def test_the_claim_is_judged_by_the_truth(observed: dict[str, Any]) -> None:
    # In the generated experiment RMSprop is worse than plain SGD by five margins, on both problems.
    claim = observed["claims"]["rmsprop-ends-better"]
    assert claim["verdict"] == "contradicted"
    assert [piece["verdict"] for piece in claim["pieces"]] == ["contradicted", "contradicted"]
    assert [piece["estimate"] for piece in claim["pieces"]] == pytest.approx([-0.1, -0.1], abs=0.01)
    assert "RMSprop ends better than plain SGD" in observed["page"]


def test_the_language_is_spoken_as_far_as_its_catalog_goes(observed: dict[str, Any]) -> None:
    english, french = dict(observed["english"]), dict(observed["french"])
    assert {place: text for place, text in french.items() if text != english[place]} == {
        "alarms": "Alertes",
        "stability": "Stabilité",
    }
