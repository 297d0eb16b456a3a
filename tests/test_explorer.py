"""The explorer: its data, its arithmetic against Python's, and the chart itself in a browser without a network."""

from __future__ import annotations

import base64
import dataclasses
import functools
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined

from comparison_fixture import SEEDS, generated_history, generated_runs
from descentlab.answers import interval, number
from descentlab.comparison_tables import TABLES
from descentlab.explorer_data import collect_curves, packed, script_json, thin
from descentlab.plotting import spread_labels
from descentlab.records import empty_table
from descentlab.sections import Evidence
from descentlab.sections.explorer import Explorer, chart_library, chart_specs, explorer
from descentlab.stats import t_interval, t_quantile
from descentlab.wording import counted, words
from report_evidence import changed, evidence_of, found

NAMES = ["gd", "sgd", "momentum", "adam", "rmsprop"]
PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Explorer</title>
<style>{% include "report.css" %}{% include "explorer.css" %}</style><main>{% include "explorer.html" %}</main>"""
HOSTILE = {
    "adam": '</script><script>window.harmed = 1</script>', "sgd": "\"'<img src=x onerror=window.harmed=1>", "momentum": "50 % & 🦀",
    "rmsprop": "{{ 7 * 7 }} {n} ]]> \u2028 " + "long " * 56,
}  # fmt: skip


def evidence_with_history(runs: pd.DataFrame | None = None, **config: Any) -> Evidence:
    """The generated experiment, each run's validation loss shifted by its seed and optimizer."""
    runs = generated_runs(0) if runs is None else runs
    evidence = evidence_of(runs, **config)
    history = generated_history(runs)
    about = runs.set_index("run_id").loc[history["run_id"]]
    shift = 1 + 0.01 * np.random.default_rng(1).normal(size=len(runs))
    history["val_loss"] *= pd.Series(shift, runs["run_id"]).loc[history["run_id"]].to_numpy() * (1 + about["seed"].to_numpy() / 1e4)
    return dataclasses.replace(evidence, history=history)


def collected(evidence: Evidence, **options: Any) -> dict[str, pd.DataFrame]:
    data = collect_curves(evidence.comparison, evidence.history, ["up", "down"], evidence.arms, NAMES, **options)
    return {name: pd.DataFrame(columns) for name, columns in data.columns.items()}


def block_of(evidence: Evidence) -> Explorer:
    (block,) = found(explorer(evidence)).blocks
    assert isinstance(block, Explorer)
    return block


def unpacked(text: str) -> str:
    return gzip.decompress(base64.b64decode(text)).decode()


# The data.


def test_every_mean_travels_with_half_its_interval() -> None:
    evidence = evidence_with_history()
    curves, means = evidence.comparison.curves, collected(evidence)["means"]
    assert len(means) == len(curves)
    np.testing.assert_allclose(means["val_loss"], curves["val_loss_mean"], rtol=5e-4)
    half = (curves["val_metric_high"] - curves["val_metric_low"]) / 2
    np.testing.assert_allclose(means["val_metric_half"], half, rtol=5e-4)


def test_single_runs_are_the_final_ones_at_their_own_evaluations() -> None:
    evidence = evidence_with_history()
    tables = collected(evidence)
    runs, history = tables["runs"], evidence.history
    assert set(runs["id"]) == set(evidence.comparison.scores["run_id"])
    assert tables["values"].shape[0] == runs["evaluations"].sum() == history["run_id"].isin(runs["id"]).sum()
    start = runs["evaluations"].cumsum() - runs["evaluations"]
    for place in (0, 17, len(runs) - 1):
        mine = tables["values"].iloc[start[place] : start[place] + runs.loc[place, "evaluations"]]
        expected = history.loc[history["run_id"] == runs.loc[place, "id"], "val_loss"]
        np.testing.assert_allclose(mine["val_loss"], expected, rtol=5e-4)
        assert list(mine["at"]) == list(range(len(expected)))


def test_without_a_history_there_are_means_alone() -> None:
    evidence = dataclasses.replace(evidence_with_history(), history=None)
    tables = collected(evidence)
    assert len(tables["means"]) and not len(tables["runs"]) and not len(tables["values"])
    block = block_of(evidence)
    assert not block.singles and "Single runs are not among these results." in block.caption


def test_what_is_not_finite_is_nothing_and_a_lost_run_keeps_its_place() -> None:
    evidence = evidence_with_history()
    history = evidence.history.copy()
    lost, diverged = evidence.comparison.scores["run_id"].iloc[[0, 1]]
    history.loc[history["run_id"] == diverged, "val_loss"] = np.inf
    tables = collected(dataclasses.replace(evidence, history=history[history["run_id"] != lost]))
    assert list(tables["runs"]["id"][:2]) == [lost, diverged]
    assert tables["runs"].loc[0, "evaluations"] == 0
    assert tables["values"]["val_loss"][: tables["runs"].loc[1, "evaluations"]].isna().all()


def test_thinned_places_hold_both_ends_and_do_not_depend_on_the_batch() -> None:
    updates = np.array([0, 1, 2, 4, 8, 16, *range(20, 820, 20)])
    for most in (3, 5, 12):
        places = thin(updates, most)
        assert len(places) <= most and {0, 1, len(updates) - 1} <= set(places)
        np.testing.assert_array_equal(places, thin(updates * 7, most))
    np.testing.assert_array_equal(thin(updates, len(updates)), np.arange(len(updates)))


def test_many_single_runs_are_thinned_and_the_caption_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_with_history()
    few = collected(evidence, most_values=4 * 3 * len(evidence.comparison.scores))
    assert few["runs"]["evaluations"].max() == 4
    assert len(few["means"]) == len(evidence.comparison.curves)
    assert "To keep the page small" not in block_of(evidence).caption
    monkeypatch.setattr("descentlab.sections.explorer.collect_curves", functools.partial(collect_curves, most_values=1))
    assert "single runs have up to 3 of their 6 evaluations" in block_of(evidence).caption


def test_packed_text_is_the_same_every_time_and_comes_back() -> None:
    assert packed("añ" * 99) == packed("añ" * 99)
    assert unpacked(packed("añ" * 99)) == "añ" * 99


def test_json_in_the_page_cannot_end_its_element() -> None:
    value = {"</script>": ["<!--", "&amp;", "\u2028\u2029", "🦀", 1.5, None]}
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


# The section.


def test_no_curves_no_explorer() -> None:
    assert explorer(changed(evidence_with_history(), curves=empty_table(TABLES["curves"]))) is None


def test_the_title_counts_what_can_be_chosen() -> None:
    runs = 2 * 2 * len(NAMES) * SEEDS
    assert block_of(evidence_with_history()).takeaway == f"{runs} curves of 5 optimizers on 2 problems, to choose from"


def test_charts_and_library_are_the_same_every_time() -> None:
    assert chart_specs() == chart_specs()
    code = "from descentlab.sections.explorer import chart_library; print(chart_library(), end='')"
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                           env={**os.environ, "PYTHONHASHSEED": "7"})  # fmt: skip
    assert other.stdout == chart_library()
    assert block_of(evidence_with_history()) == block_of(evidence_with_history())


def test_charts_name_no_address() -> None:
    assert "http" not in json.dumps(chart_specs())


# The chart, in a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def write_page(evidence: Evidence, path: Path) -> Path:
    environment = Environment(loader=PackageLoader("descentlab"), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    environment.globals.update(words=words, counted=counted)
    path.write_text(environment.from_string(PAGE).render(block=block_of(evidence)), encoding="utf-8")
    return path


class Opened:
    """A page of the explorer alone, opened from its file, with what it asked for and what went wrong."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1000, "height": 900}, **options)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None)
        self.page.goto(path.as_uri())

    def stands(self) -> Opened:
        self.page.wait_for_selector(".explorer.ready .chart svg", timeout=20_000)
        return self

    def said(self) -> str:
        return str(self.page.text_content(".said"))

    def select(self, *names: str) -> None:
        self.page.click("text='None'")
        for name in names:
            self.page.check(f".grid label:has-text('{name}') input")

    def marks(self, kind: str) -> int:
        return int(self.page.locator(f".chart:not(.difference) .mark-{kind} path, .chart:not(.difference) .mark-{kind} text").count())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(evidence_with_history(), tmp_path_factory.mktemp("explorer") / "index.html")


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Opened]:
    opened = Opened(browser, written, offline=True).stands()
    yield opened
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert sum(url.startswith("file:") for url in opened.requests) == 1
    opened.context.close()


def test_differences_are_the_paired_t_interval(opened: Opened) -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 9))
    first[3] = np.nan
    quantiles = [t_quantile(0.975, degrees) for degrees in range(1, 9)]
    arrays = [[None if np.isnan(v) else v for v in values] for values in (first.tolist(), second.tolist())]
    got = opened.page.evaluate("([a, b, q]) => descentlabExplorer.pairedDifference(a, b, q)", [*arrays, quantiles])
    expected = t_interval(first - second)
    assert got["n"] == expected.n == 8
    np.testing.assert_allclose([got["mean"], got["half"]], [expected.mean, expected.high - expected.mean], rtol=1e-12)
    one = opened.page.evaluate("q => descentlabExplorer.pairedDifference([1], [3], q)", quantiles)
    assert one["mean"] == -2 and one["n"] == 1 and np.isnan(one["half"])


def test_numbers_read_as_in_the_rest_of_the_report(opened: Opened) -> None:
    values = [0.0, 1, -1, 0.5, 12.34, 0.00012345, 0.000012345, -3.2e-9, 123.4, 999.4, 1234.6, -98765.4, 1234567.8, 2.5e8, 1e-4]
    for signed in (False, True):
        got = opened.page.evaluate("([v, s]) => v.map(x => descentlabExplorer.number(x, s, 'unknown'))", [values, signed])
        wanted = [number(value, signed) for value in values]
        assert got == wanted


def test_names_are_moved_apart_as_in_the_static_figures(opened: Opened) -> None:
    generator = np.random.default_rng(0)
    for n in (1, 2, 5, 8, 30):
        positions = generator.uniform(-0.2, 1.2, n).tolist()
        got = opened.page.evaluate("p => descentlabExplorer.spread(p, 0.055, 0, 1)", positions)
        np.testing.assert_allclose(got, spread_labels(positions, 0.055), atol=1e-8)


def test_ticks_of_a_logarithmic_axis(opened: Opened) -> None:
    ticks = "([limits, most]) => descentlabExplorer.logTicks(limits, most)"
    np.testing.assert_allclose(opened.page.evaluate(ticks, [[0.3, 40], 9]), [1, 10])
    np.testing.assert_allclose(opened.page.evaluate(ticks, [[0.9, 12], 9]), [1, 2, 5, 10])
    assert len(opened.page.evaluate(ticks, [[1e-12, 1], 5])) <= 5
    labels = opened.page.evaluate("values => values.map(descentlabExplorer.tickLabel)", [0, 0.01, 20000, 1e5, 1e-6, -0.5, 2e-7])
    assert labels == ["0", "0.01", "20000", "10⁵", "10⁻⁶", "−0.5", "2·10⁻⁷"]


def test_at_first_it_draws_the_named_optimizers_means(opened: Opened) -> None:
    assert opened.said().startswith("Validation loss on up, tuned rates, against updates: means of 5 optimizers with 95 % t "
                                    f"intervals, n = {SEEDS} seeds. Lowest mean at the end: Adam, ")  # fmt: skip
    names = opened.page.locator(".chart:not(.difference) .mark-text text").all_text_contents()
    assert set(NAMES) <= set(names)


def test_single_seeds_are_a_line_each_and_say_who_they_are_under_the_pointer(opened: Opened) -> None:
    opened.select("adam")
    opened.page.check("text='single seeds'")
    assert opened.marks("line") == SEEDS
    box = opened.page.locator(".chart svg").first.bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    opened.page.wait_for_selector(".tip:not([hidden])")
    tip = opened.page.locator(".tip div").all_text_contents()
    assert tip[0].startswith("up.adam.tuned.final.lr=0.01.seed=")
    assert tip[1].startswith("validation loss: 0.") and tip[2].startswith("updates: ")
    assert tip[3] == "initial learning rate: 0.01"
    opened.page.mouse.move(1, 1)
    opened.page.wait_for_selector(".tip", state="hidden")


def test_two_optimizers_show_their_paired_difference(opened: Opened) -> None:
    evidence = evidence_with_history()
    scores = evidence.comparison.scores
    mine = scores[(scores["problem"] == "up") & (scores["arm"] == "tuned")]
    ends = evidence.history[evidence.history["updates"] == 16].set_index("run_id")["val_loss"]
    by_seed = {name: ends.loc[mine.loc[mine["optimizer"] == name, "run_id"]].to_numpy() for name in ("momentum", "adam")}
    expected = t_interval(by_seed["momentum"] - by_seed["adam"])
    opened.select("momentum", "adam")
    opened.page.wait_for_selector(".chart.difference svg")
    shown = interval(expected.mean, expected.low, expected.high, expected.n, signed=True)
    sentence = f"Paired difference at the end, SGD with momentum − Adam: {shown} pairs of seeds; below 0, SGD with momentum is better."
    assert sentence in opened.said()
    opened.select("adam")
    assert not opened.page.is_visible(".chart.difference")


def test_full_batch_descent_is_compared_where_both_were_evaluated(opened: Opened) -> None:
    opened.select("gd", "adam")
    assert "drawn where both were evaluated after equally many updates, up to 4." in opened.said()
    opened.page.check("text='examples'")
    assert "drawn where" not in opened.said()


def test_the_table_holds_the_last_values(opened: Opened) -> None:
    opened.page.click("summary")
    rows = opened.page.locator("table tbody tr").all_text_contents()
    assert len(rows) == len(NAMES) and rows[0].startswith("gd") and f"n = {SEEDS}" in rows[0]
    opened.page.check("text='single seeds'")
    assert opened.page.locator("table tbody tr").count() == len(NAMES) * SEEDS
    assert opened.page.locator("table tbody th").first.text_content() == "up.gd.tuned.final.lr=0.01.seed=0"


def test_the_keyboard_reaches_every_choice(opened: Opened) -> None:
    page = opened.page
    page.focus("select[name=problem]")
    page.keyboard.press("ArrowDown")
    assert " on down, " in opened.said()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.tagName"))
    assert {"measure", "axis", "arm", "view", "log-x", "log-y", "first", "all", "none", "optimizer", "csv", "svg", "png", "SUMMARY"} <= reached
    page.focus("input[name=axis]:checked")
    page.keyboard.press("ArrowRight")
    assert "against examples" in opened.said()
    page.focus("input[name=optimizer][value='0']")
    page.keyboard.press("Space")
    assert "means of 4 optimizers" in opened.said()


def test_scales_measures_and_axes_are_drawn_as_chosen(opened: Opened) -> None:
    page = opened.page
    labels = page.locator(".chart:not(.difference) .role-axis-label text")
    logarithmic = labels.all_text_contents()
    page.uncheck("input[name=log-x]")
    page.uncheck("input[name=log-y]")
    assert labels.all_text_contents() != logarithmic
    page.select_option("select[name=measure]", label="validation metric")
    assert not page.is_checked("input[name=log-y]")
    assert opened.said().startswith("Validation accuracy on up")
    page.check("text='default rates'")
    assert "default rates" in opened.said()
    page.click("text='None'")
    assert "nothing to draw" in opened.said() and page.locator(".chart svg").count() == 0


def test_the_chart_follows_the_colour_scheme(browser: Any, written: Path) -> None:
    opened = Opened(browser, written, offline=True, color_scheme="light").stands()
    ink = "document.querySelector('.chart .mark-text text').getAttribute('fill')"
    light = opened.page.evaluate(ink)
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_function(f"{ink} !== '{light}'")
    assert [light, opened.page.evaluate(ink)] == ["#1b1f24", "#e8eaed"]
    opened.context.close()


def test_downloads_are_made_without_a_network(opened: Opened) -> None:
    saved = {}
    for name in ("csv", "svg", "png"):
        with opened.page.expect_download() as download:
            opened.page.click(f"button[name={name}]")
        saved[name] = Path(download.value.path()).read_bytes()
    table = pd.read_csv(io.BytesIO(saved["csv"]))
    assert list(table) == ["problem", "arm", "optimizer", "learning_rate", "updates", "val_loss", "low", "high", "n"]
    assert set(table["optimizer"]) == set(NAMES)
    assert saved["svg"].startswith(b"<svg") and saved["png"].startswith(b"\x89PNG")


def test_hostile_names_are_text(browser: Any, tmp_path: Path) -> None:
    good = evidence_with_history()
    comparison = good.comparison
    tables = {name: getattr(comparison, name).assign(optimizer=getattr(comparison, name)["optimizer"].replace(HOSTILE))
              for name in ("curves", "summary", "scores")}  # fmt: skip
    plan = {**good.plan, "optimizers": {HOSTILE.get(k, k): v for k, v in good.plan["optimizers"].items()}}
    hostile = dataclasses.replace(changed(good, **tables), plan=plan)
    opened = Opened(browser, write_page(hostile, tmp_path / "index.html"), offline=True).stands()
    assert opened.page.evaluate("window.harmed") is None
    assert opened.page.locator("img").count() == 0
    names = opened.page.locator(".explorer .grid label").all_text_contents()
    assert set(HOSTILE.values()) <= set(names)
    opened.page.check("text='single seeds'")
    opened.page.click("summary")
    opened.page.click("text='None'")
    opened.page.check(".grid label >> nth=3 >> input")
    opened.page.check("text='mean with interval'")
    assert opened.page.locator("table tbody th").all_text_contents() == [HOSTILE["adam"]]
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.errors == []
    opened.context.close()


def test_without_a_script_the_note_says_where_the_figures_are(browser: Any, written: Path) -> None:
    opened = Opened(browser, written, java_script_enabled=False)
    assert opened.page.is_visible(".note") and not opened.page.is_visible("form") and not opened.page.is_visible(".drawn")
    opened.context.close()


def test_nothing_is_unpacked_before_it_is_looked_at(browser: Any, written: Path, tmp_path: Path) -> None:
    text = written.read_text(encoding="utf-8")
    far = tmp_path / "index.html"
    far.write_text(text.replace("<main>", '<main><div style="height:9000px"></div>'), encoding="utf-8")
    opened = Opened(browser, far, offline=True)
    opened.page.wait_for_timeout(300)
    assert opened.page.evaluate("window.descentlabEmbed") is None
    opened.page.evaluate("document.querySelector('.explorer').scrollIntoView()")
    opened.stands()
    assert opened.errors == []
    opened.context.close()
