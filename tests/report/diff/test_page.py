"""The page of what changed: computed, self-contained, escaped, the same every time."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from descentlab.analysis.remarks import pack_remarks
from descentlab.experiment.plan import TrainingPlan
from descentlab.i18n import wording
from descentlab.report.diff.change_tables import ABSENT, MOST_OPEN, change_table, runs_cell, setting_text, unbroken
from descentlab.report.diff.compared import APART, ONLY_A, ONLY_B, WITHIN, compare_two
from descentlab.report.diff.page import render_differences, summarize, write_differences
from descentlab.report.diff.rows import KEYS
from support.comparison_fixture import PROBLEMS, with_names
from support.html_elements import Elements
from support.report_evidence import values_of
from support.results_fixture import worse, write_results

HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("plain") / "results")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adam is worse, rmsprop is gone, the report is in Spanish."""
    others = [{"optimizer": name} for name in ("gd", "sgd", "momentum", "adam")]
    return write_results(
        tmp_path_factory.mktemp("changed") / "results",
        runs=worse("adam", 0.4),
        optimizers=others,
        report={"title": None, "reference": "momentum", "language": "es"},
    )


@pytest.fixture(scope="module")
def page(plain: Path, changed: Path) -> str:
    return render_differences(compare_two(plain, changed))


def section(page: str, kind: str) -> str:
    (found,) = re.findall(rf'<section id="{kind}">.*?</section>', page, flags=re.S)
    return str(found)


def test_the_page_begins_with_how_much_changed(plain: Path, changed: Path, page: str) -> None:
    found = compare_two(plain, changed)
    first, *_, only = summarize(found)
    assert values_of(first) == [found.verdicts_changed, found.verdicts, found.moved(APART), found.estimates]
    assert found.verdicts_changed > 8 and found.moved(APART) > 8
    assert page.index(first) < page.index("<section")
    assert values_of(only) == [found.only(ONLY_A), found.only(ONLY_B)] == [found.only(ONLY_A), 0]
    assert found.only(ONLY_A) > 0 and only in page


def test_one_result_is_the_same_as_itself(plain: Path) -> None:
    found = compare_two(plain, plain)
    (line,) = summarize(found)
    assert values_of(line) == [found.verdicts, found.estimates]
    page = render_differences(found)
    (title,) = re.findall(r"<h1>([^<]*)</h1>", page)
    assert "<table" not in page and title.count("generated") == 1
    same = change_table(found, "contrasts").stayed
    assert values_of(same) == [found.kinds["contrasts"].both] and same in section(page, "contrasts")


def test_a_move_within_the_intervals_is_no_change(plain: Path, tmp_path: Path) -> None:
    nearly = compare_two(plain, write_results(tmp_path / "nearly", runs=worse("adam", 1e-5)))
    assert not nearly.changed
    first, second = summarize(nearly)
    assert values_of(first) == [nearly.verdicts, nearly.estimates]
    assert first != summarize(compare_two(plain, plain))[0]  # the same numbers, of which not all are the same
    within = nearly.moved(WITHIN)
    assert within >= 8 + 4
    assert values_of(second) == [0, within, 0, nearly.estimates - within]  # moved, within, another interval, the same


def test_the_same_results_give_the_same_bytes_in_any_process(plain: Path, changed: Path, tmp_path: Path) -> None:
    written = []
    for seed in ("1", "2"):
        output = tmp_path / f"{seed}.html"
        code = (
            "from pathlib import Path; from descentlab.report.diff.compared import as_json, compare_two; "
            "from descentlab.report.diff.page import write_differences; "
            f"found = compare_two(Path({str(plain)!r}), Path({str(changed)!r})); "
            f"write_differences(found, Path({str(output)!r})); print(as_json(found))"
        )
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
        written.append((output.read_bytes(), done.stdout))
    assert written[0] == written[1]


def test_nothing_runs_and_nothing_is_fetched(page: str) -> None:
    elements = Elements(page)
    assert {tag for tag, _ in elements.tags} & {"script", "link", "img", "iframe", "object", "embed"} == set()
    assert elements.values("src") == []
    assert all(link.startswith(("#", "data:text/csv")) for link in elements.values("href"))
    assert "@import" not in page and re.findall(r"url\((?!#)", page) == []


def test_ids_are_unique_and_contents_list_every_section(page: str) -> None:
    elements = Elements(page)
    ids = elements.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in elements.values("href") if link.startswith("#")} <= set(ids)
    contents = re.search(r"<nav.*?</nav>", page, flags=re.S)
    assert contents is not None
    assert re.findall(r'href="#([^"]+)"', contents.group()) == ["answer", *KEYS]
    assert re.findall(r'<section id="([^"]+)"', page) == list(KEYS)


def test_a_changed_verdict_stands_with_both_estimates(page: str) -> None:
    row = re.search(
        r"<tr><th scope=\"row\">up</th><td>tuned</td><td>adam − sgd</td>.*?</tr>", section(page, "contrasts")
    )
    assert row is not None
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row.group())
    assert cells[4].startswith('<span class="verdict better">better</span><br>+0.1')
    assert cells[5].startswith('<span class="verdict worse">worse</span><br>−0.29')
    assert all(cell.endswith("], n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}6") for cell in cells[4:6])
    assert (cells[3], cells[6:]) == (APART, ["−0.4", ""])  # the note is another contrast's


def test_what_is_gone_says_so(plain: Path, changed: Path, page: str) -> None:
    found = compare_two(plain, changed)
    members, runs = change_table(found, "members"), change_table(found, "runs")
    assert [[cell.text for cell in row] for row in members.rows] == [["optimizer", "rmsprop", ONLY_A]]
    assert len(runs.rows) == 4  # two problems, two arms
    for row in runs.rows:
        assert [cell.text for cell in row[2:]] == ["rmsprop", ONLY_A, runs_cell({"finished": 6}).text, ABSENT]
    assert values_of(runs.takeaway) == [4] and values_of(runs.stayed) == [16, 16]
    for table in (members, runs):
        shown = section(page, table.identity)
        assert table.takeaway in shown and table.stayed in shown
        assert "".join(f"<td>{cell.text}</td>" for cell in table.rows[0][1:]) in shown


def test_the_metric_stands_with_its_direction(page: str) -> None:
    finals = section(page, "finals")
    for problem, higher in PROBLEMS.items():
        metric = re.search(rf'<th scope="row">{problem}</th>.*?<td class="wide">([^<]*accuracy[^<]*)</td>', finals)
        assert metric is not None
        assert ("higher" in metric.group(1), "lower" in metric.group(1)) == (higher, not higher)


def test_downloads_hold_the_rows(plain: Path, changed: Path, page: str) -> None:
    found = compare_two(plain, changed)
    for kind, compared in found.kinds.items():
        data = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', section(page, kind))
        assert (data is None) == (not compared.rows)
        if data is not None:
            table = pd.read_csv(io.BytesIO(base64.b64decode(data.group(1))))
            assert table["change"].tolist() == [row["change"] for row in compared.rows]
    table = pd.read_csv(
        io.BytesIO(
            base64.b64decode(
                re.search(
                    r'download="contrasts-changed.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page
                ).group(1)
            )
        )
    )  # type: ignore[union-attr]
    expected = [row["difference"] for row in found.kinds["contrasts"].rows]
    assert table["difference"].tolist() == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_names_that_others_gave_are_escaped_everywhere(plain: Path, tmp_path: Path) -> None:
    """A config's names are plain; should that ever change, the page still holds no tag that it did not write."""
    results = write_results(tmp_path / "hostile", runs=worse("adam", 0.4), about={"metric": HOSTILE})
    for name in ("contrasts", "summary", "speed"):
        path = results / f"comparison/{name}.parquet"
        table = pd.read_parquet(path)
        columns = [column for column in ("first", "optimizer", "arm", "target") if column in table]
        remarks = {"remarks": pack_remarks([{"code": HOSTILE}])} if "remarks" in table else {}
        table.assign(**dict.fromkeys(columns, HOSTILE), **remarks).drop_duplicates(["problem", columns[0]]).to_parquet(
            path, index=False
        )
    claims = json.loads((results / "claims.json").read_text())
    for entry in claims:
        entry |= {"verdict": HOSTILE, "english": HOSTILE, "id": f"{entry['id']}{HOSTILE}"}
        for piece in entry["pieces"]:
            hostile = {"code": HOSTILE, "problem": HOSTILE}
            piece |= {"verdict": HOSTILE, "place": hostile, "unit": HOSTILE, "remarks": [hostile]}
    (results / "claims.json").write_text(json.dumps(claims))
    plan = with_names(TrainingPlan.read(results), {"adam": HOSTILE})
    replace(plan, versions={"git_commit": HOSTILE, HOSTILE: HOSTILE}).write(results / "plan.json")
    hostile = render_differences(compare_two(plain, results))
    assert "<script" not in hostile and hostile.count("&lt;script&gt;") > 50


def test_long_tables_are_open_where_something_matters(plain: Path, changed: Path, page: str) -> None:
    found = compare_two(plain, changed)
    for kind in KEYS:
        table = change_table(found, kind)
        assert table.foldable == (len(found.kinds[kind].rows) > MOST_OPEN)
        assert ("<details" in section(page, kind)) == table.foldable
        assert ("<details open>" in section(page, kind)) == (table.foldable and table.matters)


def test_the_language_is_that_of_b(plain: Path, changed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Marked(dict[str, str]):
        """Every sentence in brackets: what stands outside is not translated."""

        def get(self, text: str, default: str | None = None) -> str:  # type: ignore[override]
            return f"⟦{text}⟧"

    monkeypatch.setattr(wording, "read_catalog", lambda language: Marked())
    write_differences(compare_two(plain, changed), tmp_path / "es.html")
    text = (tmp_path / "es.html").read_text()
    assert '<html lang="es">' in text
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    shown = "\n".join([*re.findall(r">([^<]*)<", body), *Elements(text).values("aria-label")])
    while "⟦" in shown:  # sentences in sentences: from the inside out
        shown = re.sub(r"⟦[^⟦⟧]*⟧", "", shown)
    data = {
        "descentlab",
        "up",
        "down",
        "adam",
        "sgd",
        "momentum",
        "rmsprop",
        "gd",
        "A",
        "B",
        "n",
        "generated",
        "abc",
        "config",
        "en",
        "es",
        "null",
        "learning_rate",
        "edge",
        "high",
    }
    spanish = json.loads((changed / "claims.json").read_text())
    for entry in spanish:
        shown = shown.replace(entry["spanish"], "")
    assert set(re.findall(r"(?<![\w.])[^\W\d_]\w*", shown)) - data == set()
    write_differences(compare_two(changed, plain), tmp_path / "en.html")
    assert '<html lang="en">' in (tmp_path / "en.html").read_text() and "⟦" not in (tmp_path / "en.html").read_text()


def test_settings_are_shown_as_the_config_has_them() -> None:
    assert [setting_text(value) for value in ("text", "", None, True, 0.0316, ["a", 1], {"b": None})] == [
        "text",
        '""',
        "null",
        "true",
        "0.0316",
        '["a", 1]',
        '{"b": null}',
    ]


def test_an_estimate_breaks_before_its_interval_and_its_n_only() -> None:
    text = unbroken("0.5 [0.4, 0.6], n = 5").replace("\N{NO-BREAK SPACE}", "_")
    assert text == "0.5 [0.4,_0.6], n_=_5"
