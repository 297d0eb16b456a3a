"""The report built from a generated comparison: whole, self-contained, escaped, the same every time."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from descentlab.analysis.comparison import TABLES
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.experiment.plan import TrainingPlan
from descentlab.report.alarm_phrases import alarm_sentence
from descentlab.report.answers import PHRASES, write_answers
from descentlab.report.page import render
from descentlab.report.sections import SECTIONS, Evidence
from descentlab.report.sections.first_screen import answer
from support.comparison_fixture import (
    SEEDS,
    generated_plan,
    generated_runs,
    with_names,
)
from support.generated_comparisons import generated_comparison
from support.html_elements import Elements
from support.report_evidence import evidence_of, values_of
from support.written_report import built


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the report was written, over one that had another drawing."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "results/figures").mkdir(parents=True)
    (folder / "results/figures/old.svg").write_text("old")
    built(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "index.html").read_text()


def unpacked(part: str) -> pd.DataFrame:
    """The data of the first download in a part of a page."""
    data = re.search(r'data-as="csv" data-gzip="([^"]+)"', part)
    assert data is not None
    return pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(data.group(1)))))


def test_the_same_results_give_the_same_bytes_in_any_process(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "results", tmp_path / "results")
    subprocess.run(
        [sys.executable, "-m", "descentlab", "report", str(tmp_path / "results"), "--output", str(tmp_path / "again")],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"},
    )
    assert (tmp_path / "again").read_bytes() == (folder / "index.html").read_bytes()


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    elements = Elements(page)
    assert {tag for tag, _ in elements.tags} & {"link", "img", "iframe", "object", "embed"} == set()
    assert elements.values("src") == []
    links = elements.values("href") + elements.values("xlink:href")
    assert all(link.startswith("#") for link in links)
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_ids_are_unique_and_links_lead_somewhere(page: str) -> None:
    elements = Elements(page)
    ids = elements.values("id")
    assert len(ids) == len(set(ids))
    targets = [link[1:] for link in elements.values("href") + elements.values("xlink:href") if link.startswith("#")]
    assert set(targets) <= set(ids)
    for section in ("answer", "differences", "test-metric", "convergence", "sensitivity", "models", "provenance"):
        assert section in ids


def test_every_figure_has_takeaway_alt_text_caption_and_data(page: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", page, flags=re.S)
    assert len(figures) >= 10
    for figure in figures:
        assert re.search(r"<h3>[^<]{20,}</h3>", figure)
        assert re.search(r"<figcaption>\s*[^<]{40,}", figure)
        assert " n = " in re.search(r"<figcaption>(.*?)<span", figure, flags=re.S).group(1)  # type: ignore[union-attr]
        drawings = re.findall(r'<svg class="plot" role="img" aria-label="([^"]*)"', figure)
        assert drawings and all(len(alt) > 20 for alt in drawings)
        assert len(unpacked(figure)) > 0


def test_downloads_hold_the_numbers(page: str) -> None:
    table = unpacked(page[page.index('<div id="contrasts">') :])
    expected = evidence_of().comparison.contrasts
    pd.testing.assert_series_equal(table["difference_mean"], expected["difference_mean"], rtol=1e-4)


def test_the_answer_comes_first_and_from_the_data(page: str) -> None:
    found = generated_comparison()
    said = write_answers(generated_plan(), found, pd.DataFrame())
    first = html.unescape(page[: page.index("<section")])
    assert all(answer["head"] in first for answer in said)
    assert page.index('<span class="verdict better">') < page.index("<section")
    for statement in said:
        block = first[first.index(f'<div id="answer-{statement["id"]}"') :].partition("</div>")[0]
        assert f'href="#{statement["section"]}"' in block and f'<section id="{statement["section"]}"' in page


def test_takeaways_follow_the_data(page: str, tmp_path: Path) -> None:
    runs = generated_runs(0)
    finals = runs["phase"] == "final"
    sign = runs["higher_is_better"].map({True: 1, False: -1})
    worse = finals & (runs["optimizer"] == "adam")
    runs.loc[worse, "test_metric"] -= 0.4 * sign[worse]
    other = built(tmp_path, runs=runs)
    for text, verdict in ((page, Verdict.BETTER), (other, Verdict.WORSE)):
        answer = text[text.index('<div id="answer-tuned-adam-momentum"') :].partition("</div>")[0]
        assert re.findall(r'class="verdict ([a-z-]+)"', answer) == 2 * [verdict]
        assert PHRASES[verdict] in answer
    headings = [set(re.findall(r"<h3>([^<]*)</h3>", text)) for text in (page, other)]
    assert headings[0] != headings[1]


def test_what_others_wrote_is_escaped_everywhere(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    page = built(
        tmp_path,
        about={"title": hostile, "count": hostile, "metric": hostile},
        config={"report": {"title": hostile, "reference": "momentum"}},
    )
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_divergences_and_edges_are_alarms(tmp_path: Path) -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "sgd") & (runs["phase"] == "final"), "status"] = "diverged"
    page = built(tmp_path, runs=runs)
    alarms = unpacked(page[page.index('id="alarm-table"') :]).fillna("")
    lost = alarms.query("code == 'diverged' and optimizer == 'sgd' and problem == 'up' and arm == 'tuned'")
    assert [json.loads(values)["of"] for values in lost["values"]] == [SEEDS] and lost["count"].tolist() == [SEEDS]
    edge = alarms.query("code == 'edge' and optimizer == 'rmsprop' and problem == 'down'")
    assert [json.loads(values)["rate"] for values in edge["values"]] == [0.1]
    for row in [*lost.to_dict("records"), *edge.to_dict("records")]:
        assert page.count(alarm_sentence(row)) == 2  # on the first screen and in the table


def test_partial_experiments_still_have_a_report(tmp_path: Path) -> None:
    runs = generated_runs(0)
    one_arm = built(
        tmp_path / "arm", runs=runs[(runs["arm"] == "default")], selections=[], config={"arms": ["default"]}
    )
    assert 'id="sensitivity"' not in one_arm
    nothing = built(tmp_path / "nothing", runs=runs.assign(status="missing"))
    kinds = unpacked(nothing[nothing.index('id="alarm-table"') :])["kind"]
    assert (kinds == "missing").sum() == runs.groupby(["problem", "optimizer", "arm"]).ngroups
    assert 'id="provenance"' in built(tmp_path / "alone", runs=runs[runs["optimizer"] == "adam"])


@pytest.mark.parametrize("seeds", [[1000], [1000, 1001]])
def test_a_page_of_which_no_rate_finished_with_every_seed(tmp_path: Path, seeds: list[int]) -> None:
    runs = generated_runs(0)
    runs.loc[(runs["phase"] == "tuning") & runs["seed"].isin(seeds), "status"] = "diverged"
    page = built(tmp_path, runs=runs)
    titles = dict(re.findall(r'<figure id="sensitivity-(up|down)">.*?<h3>([^<]*)</h3>', page, flags=re.S))
    assert {problem: values_of(title) for problem, title in titles.items()} == {"up": ["up"], "down": ["down"]}


def test_the_drawings_of_the_page_are_files_too_and_old_ones_go(folder: Path, page: str) -> None:
    shown = re.findall(r'<figure id="([^"]+)">.*?<svg class="plot" role="img" aria-label="([^"]*)"', page, flags=re.S)
    files = {path.stem: ElementTree.parse(path).getroot() for path in (folder / "results/figures").iterdir()}
    assert {name: root.attrib["aria-label"] for name, root in files.items()} == {
        name: html.unescape(words) for name, words in shown
    }


def renamed(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    columns = [c for c in ("problem", "optimizer", "first", "second") if c in table]
    return table.assign(**{column: table[column].replace(names) for column in columns})


def test_hostile_names_are_escaped_everywhere() -> None:
    """A config's names are plain; should that ever change, the page still holds no tag that it did not write."""
    names = {"adam": '<script>x("1")</script>', "up": "</svg><img src=x onerror=y>'", "sgd": "$\\frac{1$ & ]]> -->"}
    good = evidence_of()
    comparison = dataclasses.replace(
        good.comparison, **{name: renamed(getattr(good.comparison, name), names) for name in TABLES}
    )
    assert isinstance(good.plan, TrainingPlan)
    hostile = Evidence(with_names(good.plan, names), comparison, [])
    page = render(hostile, [section for make in SECTIONS if (section := make(hostile)) is not None])
    assert "<script>x" not in page and "<img" not in page
    assert "&lt;script&gt;" in page and "&lt;img" in page


def test_every_drawing_is_well_formed(page: str) -> None:
    drawings = re.findall(r"<svg class=.plot.*?</svg>", page, flags=re.S)
    assert len(drawings) >= 15
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_answers_link_to_what_they_were_computed_from(page: str) -> None:
    answers = dict(re.findall(r'<div id="answer-([^"]+)".*?<p class="more"><a href="#([^"]+)">', page, flags=re.S))
    assert answers["tuned-adam-momentum"] == "differences"
    assert answers["tuned-best"] == "test-metric"
    assert answers["alarms"] == "alarms"


def test_contents_list_every_section_in_its_order(page: str) -> None:
    contents = re.search(r"<nav.*?</nav>", page, flags=re.S)
    assert contents is not None
    listed = re.findall(r'href="#([^"]+)"', contents.group())
    first = ["answer", "take", "ledger", "sgd-adam"]
    assert listed == [*first, *re.findall(r'<section id="([^"]+)"', page)]


def test_the_title_is_the_configs_or_says_the_experiment(page: str) -> None:
    title = re.findall(r"<title>([^<]*)</title>", page)[0]
    assert title.count("generated") == 1 and f"<h1>{title}</h1>" in page
    plan = generated_plan(report={"title": "Mine & yours", "reference": "momentum"})
    evidence = dataclasses.replace(evidence_of(), plan=plan)
    other = render(evidence, [answer(evidence)])
    assert "<title>Mine &amp; yours</title>" in other and "<h1>Mine &amp; yours</h1>" in other
