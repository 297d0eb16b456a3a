"""Names and texts that someone else chose are refused in one line or stay text: no path, no command, no element."""

from __future__ import annotations

import copy
import html.parser
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from descentlab.__main__ import main
from descentlab.experiment.config import ConfigError, parse_config
from support.logged_experiment import log_run, new_store
from support.workflow_fixture import run_snakemake

ELEMENT = "<script>alert(1)</script><canary onload='alert(1)'>"
# Each would do harm, or break something, were it taken for anything but text.
HOSTILE = {
    "parent": "../../outside",
    "absolute": "/outside",
    "hidden": ".outside",
    "option": "--output=outside",
    "substitution": "$(touch CANARY)",
    "backticks": "`touch CANARY`",
    "command": "x;touch CANARY",
    "pipe": "x|touch CANARY",
    "quotes": "x'\"; touch CANARY #",
    "percent": "100 %s %(x)s",
    "wildcard": "{problem}",
    "format": "{0} {x!r} {{x}}",
    "jinja": "{{ 7 * 7 }} {% raw %}",
    "element": ELEMENT,
    "emoji": "\U0001f600",
    "long": "long" * 75,
}
UNPRINTABLE = {"nul": "a\0b", "newline": "a\nb", "escape": "a\x1b[31mb", "half a letter": "a\ud83db"}
# One that is all of them, but for what only the beginning of a text can be.
WORST = " ".join(HOSTILE.values())

OWN = """
import keras


def make(learning_rate, note):
    return keras.optimizers.SGD(learning_rate)
"""
CONFIG: dict[str, Any] = {
    "experiment": "hostile",
    "problems": [{"problem": "linear_regression", "epochs": 1, "mode": "graph", "name": "p", "data": "d"}],
    "optimizers": ["sgd", {"optimizer": "own_optimizer:make", "name": "own", "note": "n"}],
    "arms": ["default"],
    "seeds": {"final": 2, "tuning": 1},
    "sweep": {"optimizers": ["sgd"]},
    "measurements": [],
    "tracking": {"uri": "sqlite:///results/u.db"},
    "report": {"title": "t", "reference": "sgd", "language": "en"},
}
# Names become paths, commands' words, ids: only plain ones are taken.
NAMES = [
    ("experiment",),
    ("problems", 0, "problem"),
    ("problems", 0, "name"),
    ("optimizers", 0),
    ("optimizers", 1, "optimizer"),
    ("optimizers", 1, "name"),
    ("arms", 0),
    ("sweep", "optimizers", 0),
    ("measurements",),
    ("report", "reference"),
    ("report", "language"),
]
# Texts of the reader's own, and what of theirs may be refused.
TEXTS = {
    ("problems", 0, "data"): "",
    ("optimizers", 1, "note"): "",
    ("report", "title"): "",
    ("tracking", "uri"): "{",
}


def with_text(place: tuple[Any, ...], text: str) -> dict[str, Any]:
    """The config with ``text`` at a place."""
    raw = copy.deepcopy(CONFIG)
    parent: Any = raw
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = [text] if place == ("measurements",) else text
    return raw


def refusal(raw: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        parse_config(raw, "here")
    return str(refused.value)


def test_the_config_is_taken_as_it_is() -> None:
    assert parse_config(CONFIG, "here").experiment == "hostile"


@pytest.mark.parametrize("text", [*HOSTILE.values(), *UNPRINTABLE.values()], ids=[*HOSTILE, *UNPRINTABLE])
def test_a_name_that_is_not_plain_is_refused_in_one_line(text: str) -> None:
    for place in NAMES:
        said = refusal(with_text(place, text))
        assert (
            said.isprintable() and said.startswith((f"here: {place[0]}", "here: a text must")) and len(said) < 1000
        ), said


@pytest.mark.parametrize("text", UNPRINTABLE.values(), ids=UNPRINTABLE)
def test_a_text_of_more_than_one_line_is_refused_in_one(text: str) -> None:
    for place in TEXTS:
        said = refusal(with_text(place, text))
        assert said.isprintable() and "must be one line of text without control characters" in said


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_text_is_kept_letter_by_letter(text: str) -> None:
    for place, refused in TEXTS.items():
        if set(text) & set(refused):
            assert "an address must not contain braces" in refusal(with_text(place, text))
            continue
        config = parse_config(with_text(place, text), "here")
        kept: Any = json.loads(config.as_json())
        for key in place:
            kept = kept[key]
        assert kept == text


@pytest.mark.parametrize("key", [WORST, *UNPRINTABLE.values(), ""], ids=["worst", *UNPRINTABLE, "empty"])
def test_a_hyperparameter_is_called_what_python_can_call_it(key: str) -> None:
    said = refusal({**CONFIG, "optimizers": [{"optimizer": "sgd", key: 1}]})
    assert said.isprintable() and "a hyperparameter's name must be a Python identifier" in said


class Page(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def check_page(path: Path) -> Page:
    """No element, handler or address of a page comes from a text."""
    page = Page(path)
    assert "canary" not in {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("href", "src"):
            assert not re.match(r"\s*(javascript|http|//)", attributes.get(name) or ""), (tag, attributes)
    assert "alert(1)" in page.words
    # A text in a script would be what the script begins with, not words of the page.
    assert not re.search(r"<script[^>]*>\s*alert", path.read_text(encoding="utf-8"))
    return page


def others(folder: Path) -> set[str]:
    """What is in a folder, but for what the workflow writes there."""
    return {path.name for path in folder.iterdir()} - {"results", "reports", ".snakemake"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config whose texts are all hostile, and an optimizer of the reader's own."""
    folder = tmp_path_factory.mktemp("hostile")
    raw = copy.deepcopy(CONFIG)
    raw["problems"][0]["data"] = raw["optimizers"][1]["note"] = WORST
    raw["report"]["title"] = WORST
    # Letters that an address may hold, one that a database's file can be called.
    raw["tracking"]["uri"] = "sqlite:///results/$(touch CANARY);`touch CANARY`'\".db"
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    (folder / "own_optimizer.py").write_text(OWN)
    return folder / "config.yaml"


def test_a_text_is_one_word_of_a_command(config: Path) -> None:
    shown = run_snakemake(config.parent, "-n", "--printshellcmds", config=config)
    assert shown.returncode == 0, shown.stdout
    commands = [
        shlex.split(line.removeprefix("Shell command: "))
        for line in shown.stdout.splitlines()
        if line.startswith("Shell command: descentlab ")
    ]
    (plan,) = [words for words in commands if words[1] == "plan"]
    expected = parse_config(yaml.safe_load(config.read_text()), "here").as_json()
    assert plan[2:6] == ["--config-json", expected, "--output", "results/hostile/plan.json"]
    assert len(commands) > 5


@pytest.fixture(scope="module")
def finished(config: Path) -> Path:
    """The folder, after the whole workflow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        done = run_snakemake(config.parent, config=config)
    assert done.returncode == 0, done.stdout
    return config.parent


def test_the_workflow_takes_texts_for_text(finished: Path) -> None:
    folder = finished
    assert others(folder) == {"config.yaml", "own_optimizer.py"}
    assert not list(folder.rglob("CANARY"))
    assert {path.name for path in (folder / "results").iterdir()} >= {"hostile", "cache"}
    page = check_page(folder / "reports/hostile/index.html")
    assert " ".join(WORST.split()) in " ".join(page.words.split())


def test_no_page_says_where_runs_are_tracked(finished: Path, tmp_path: Path) -> None:
    source = finished / "results/hostile"
    shutil.copytree(source, tmp_path / "results/hostile")
    plan = json.loads((source / "plan.json").read_text())
    plan["config"]["tracking"]["uri"] = "postgresql://somebody:secret@there/runs"
    (tmp_path / "results/hostile/plan.json").write_text(json.dumps(plan))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["report", "results/hostile"]) == 0
        assert main(["diff", str(source), "results/hostile"]) == 0
    pages = list((tmp_path / "reports").rglob("*.html"))
    assert len(pages) == 2
    for page in pages:
        assert "secret" not in page.read_text(encoding="utf-8")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of MLflow in a folder of its own, in which the test runs."""
    folder = tmp_path / "folder"
    folder.mkdir()
    uri = new_store(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def log_pair(store: str, experiment: str, **params: Any) -> None:
    """Two seeds of two optimizers."""
    curves = {"val_loss": [1.0, 0.6], "val_accuracy": [0.5, 0.7]}
    for seed in (0, 1):
        for optimizer in ("sgd", "adam"):
            log_run(
                store,
                experiment,
                {"optimizer": optimizer, "seed": seed, "lr": 0.1, **params},
                curves,
                {"test_accuracy": 0.7 + seed / 10},
            )


@pytest.mark.parametrize(
    "name", [WORST[:500], f"/{ELEMENT}", f"--output={ELEMENT}"], ids=["parent", "absolute", "option"]
)
@pytest.mark.usefixtures("device")
def test_what_others_logged_is_text(store: str, name: str, tmp_path: Path) -> None:
    log_pair(store, name, problem=name, note=name)
    Path("mapping.yaml").write_text("batch_size: 8\n")
    assert main(["report", f"--mlflow-experiment={name}", "--mapping", "mapping.yaml"]) == 0
    assert others(Path()) == {"store.db", "mapping.yaml"}
    assert {path.name for path in tmp_path.iterdir()} == {"folder"}
    (report,) = Path("reports").rglob("index.html")
    assert report.parent.parent == Path("reports") and report.parent.name.isascii()
    page = check_page(report)
    # The command that makes the page again gives a shell one word that is the name.
    (command,) = re.findall(r"python -m descentlab report --mlflow-experiment .*? --mapping mapping\.yaml", page.words)
    assert shlex.split(command)[4:] == ["--mlflow-experiment", name, "--mapping", "mapping.yaml"]


def test_an_experiment_called_as_a_folder_of_ours_is_refused(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_pair(store, "cache")
    assert main(["report", "--mlflow-experiment", "cache"]) == 2
    assert capsys.readouterr().err == (
        "descentlab: results/cache: an experiment can't be called 'cache' or 'mlflow-artifacts': results keeps its own there\n"
    )
    assert not Path("results").exists()


def test_an_error_is_one_line_whatever_it_names(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_pair(store, "a\nb \x1b[31m")
    assert main(["report", "--mlflow-experiment", "x\ny\x1b[2J"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert line.endswith(r"no experiment 'x\ny\x1b[2J'. Its experiments: Default, a\nb \x1b[31m")
