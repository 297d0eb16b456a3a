"""A config that someone got wrong: it runs, or one clear line says why not; never a traceback."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from descentlab.__main__ import main
from descentlab.experiment.config import ConfigError, load_config, parse_config
from descentlab.experiment.jobs import cut_jobs, runs_per_optimizer
from descentlab.experiment.provenance import job_digest
from support.workflow_fixture import ROOT

CONFIGS = sorted((ROOT / "workflow/config").glob("*.yaml"))
FUZZED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD_TEXTS = [
    "",
    " ",
    "\0",
    "\x1b[31m",
    "\n",
    "\ud83d",
    "../../etc/passwd",
    "a/b",
    "$(reboot)",
    "`x`",
    "'; --",
    "{x}",
    "{0}",
    "%s",
    "<b>",
    "ñ",
    "🙂",
    "a" * 300,
    "nan",
    "inf",
    "1e400",
    "null",
    "all",
    "auto",
    "adam",
    "mlp",
    "no.module:Thing",
    ":",
    "a:b:c",
    "os:system",
]
ODD_NUMBERS = [
    0,
    -1,
    1,
    2,
    10**6,
    10**12,
    2**63,
    2**64,
    10**400,
    -(10**400),
    0.0,
    -0.5,
    1e-320,
    1e308,
    1.5,
    float("nan"),
    float("inf"),
    -float("inf"),
]
ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    [1, "a", None],
    {1: 2},
    *ODD_TEXTS,
    *ODD_NUMBERS,
]
KEYS = [
    "",
    "lr",
    "Epochs",
    "seed",
    "problem",
    "name",
    "epochs",
    "mode",
    "learning_rate",
    "uri",
    "title",
    "x" * 300,
    "é\0",
]
MANGLED = [
    "",
    ":",
    "-",
    "{",
    "[",
    "]",
    "\t",
    "&a ",
    "*a",
    "!!python/object:os.system ",
    "!!set ",
    "9" * 5000,
    "[" * 200,
    "\0",
    "\ufeff",
    "? ",
    "2020-01-01",
    "0x",
    "<<: ",
    "%",
    "@",
    "'",
    '"',
    "|\n",
]


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value of a config, the whole one first."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at, *(path for key, value in items for path in places(value, (*at, key)))]


@st.composite
def mutated(draw: st.DrawFn, raw: Any) -> Any:
    """A config with one to three things wrong, or not: keys renamed, dropped and added, values of other types, odd ones."""
    tree = {"whole": copy.deepcopy(raw)}
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(tree)[1:]))
        parent: Any = tree
        for key in path[:-1]:
            parent = parent[key]
        last, value = path[-1], parent[path[-1]]
        change = draw(st.sampled_from(["drop", "rename", "add", "replace", "replace", "text", "list", "repeat"]))
        if change == "drop" and path != ("whole",):
            del parent[last]
        elif change == "rename" and isinstance(parent, dict) and path != ("whole",):
            parent[draw(st.sampled_from([*KEYS, f"{last}s", str(last)[:-1]]))] = parent.pop(last)
        elif change == "add" and isinstance(value, dict):
            value[draw(st.sampled_from([*KEYS, 3, None]))] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
        elif change == "text":
            parent[last] = str(value)
        elif change == "list":
            parent[last] = [value]
        elif change == "repeat" and isinstance(value, list) and value:
            value.append(copy.deepcopy(value[0]))
        else:
            parent[last] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
    return tree["whole"]


def is_clear(line: str) -> bool:
    """One line of printable letters that a terminal can show, not the whole config again."""
    return 0 < len(line) < 3000 and line.isprintable() and "Traceback" not in line


def check_parsed(config: Any) -> None:
    """What the Snakefile asks of a config: its jobs, their digests, and its text, which is the same config again."""
    jobs = cut_jobs(config)
    assert all(runs_per_optimizer(config, problem.name) > 0 for problem in config.problems)
    for problem in config.problems:
        assert [name for job in jobs[problem.name] for name in job] == [entry.name for entry in config.entries(problem)]
        assert job_digest(config, problem.name, jobs[problem.name][0])
    assert parse_config(json.loads(config.as_json()), "again").as_json() == config.as_json()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@FUZZED
@given(data=st.data())
def test_a_mutated_config_is_taken_or_refused_in_one_line(path: Path, data: st.DataObject) -> None:
    raw = data.draw(mutated(yaml.safe_load(path.read_text())))
    try:
        config = parse_config(raw, "here")
    except ConfigError as refused:
        note(str(refused))
        assert is_clear(str(refused))
        assert str(refused).startswith("here: ")
    else:
        check_parsed(config)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@settings(FUZZED, max_examples=100)
@given(data=st.data())
def test_a_mangled_file_is_taken_or_refused_in_one_line(path: Path, data: st.DataObject, tmp_path: Path) -> None:
    text = path.read_text()
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(text)))
        end = begin + data.draw(st.integers(0, 12))
        text = text[:begin] + data.draw(st.sampled_from(MANGLED)) + text[end:]
    file = tmp_path / "mangled.yaml"
    file.write_bytes(text.encode() + data.draw(st.sampled_from([b"", b"", b"\xff", b"\x00"])))
    try:
        config = load_config(file)
    except ConfigError as refused:
        note(str(refused))
        assert is_clear(str(refused))
        assert str(refused).startswith(f"{file}: ")
    else:
        check_parsed(config)


CHEAP = {
    "experiment": "e",
    "problems": [{"problem": "linear_regression", "epochs": 1}],
    "arms": ["default"],
    "optimizers": ["sgd", {"optimizer": "adam", "beta_1": 0.8}],
    "seeds": {"final": 2, "tuning": 2},
    "tuning": {"points": 3},
}


@pytest.mark.usefixtures("device", "own_folder")
@settings(FUZZED, max_examples=150)
@given(data=st.data())
def test_planning_succeeds_or_says_one_line(data: st.DataObject, capsys: pytest.CaptureFixture[str]) -> None:
    raw = data.draw(mutated(CHEAP))
    with contextlib.suppress(ConfigError):
        config = parse_config(raw, "here")
        own = any(
            ":" in named for named in (*(p.problem for p in config.problems), *(o.optimizer for o in config.optimizers))
        )
        if own or len(config.optimizers) > 3 or config.tuning.points > 9 or "digits" in str(raw):
            return  # nothing is planned but what is cheap
    Path("config.yaml").write_text(yaml.safe_dump(raw))
    capsys.readouterr()
    status = main(["plan", "config.yaml", "--output", "plan.json"])
    lines = capsys.readouterr().err.splitlines()
    assert status in {0, 2}
    if status == 2:
        note(lines[-1])
        assert is_clear(lines[-1])
        assert lines[-1].startswith("descentlab: ")
    else:
        assert json.loads(Path("plan.json").read_text())["config"]["experiment"] == config.experiment
