"""The commands, files, links and examples of README.md and the other pages: they run, exist, resolve and are valid."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from descentlab.experiment.config import parse_config
from descentlab.tracking.imported.mapping import load_mapping
from support.markdown_pages import PAGES, Block, blocks, prose
from support.workflow_fixture import ROOT, run_verb, workflow_environment

README = ROOT / "README.md"
CONFIGS = [block for block in blocks("yaml") if not block.file]


def commands() -> list[str]:
    """Each command of a bash block, once."""
    return list(dict.fromkeys(line for block in blocks("bash") for line in block.text.splitlines() if line))


def on_page(block: Block) -> str:
    return str(block.page.relative_to(ROOT))


def as_here(command: str) -> list[str]:
    """The command with this interpreter in place of the environment's."""
    words = shlex.split(command)
    return [sys.executable, *words[1:]] if words[0] == "python" else [sys.executable, "-m", *words]


@pytest.fixture(scope="module")
def checkout(finished_workflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout as a reader has it, with a finished test.yaml."""
    folder = tmp_path_factory.mktemp("docs") / "checkout"
    shutil.copytree(finished_workflow, folder)
    for part in ("Snakefile", "workflow"):
        (folder / part).symlink_to(ROOT / part)
    return folder


def test_the_pages_have_what_is_tested() -> None:
    assert {shlex.split(command)[0] for command in commands()} == {"make", "snakemake", "python"}
    assert {on_page(block) for block in CONFIGS} >= {"README.md", "workflow/config/README.md"}
    assert len(blocks("python", "README.md")) == 1


def test_the_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make")])
def test_make_knows_its_targets(command: str) -> None:
    # The installation would be planned too; --dry-run only says what would be done.
    planned = subprocess.run(
        [*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout


@pytest.mark.parametrize("command", [c for c in commands() if not c.startswith("make")])
def test_commands_run(command: str, checkout: Path) -> None:
    done = subprocess.run(
        as_here(command),
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        env=workflow_environment(),
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_verb_that_is_named_exists(tmp_path: Path) -> None:
    named = {verb for page in PAGES for verb in re.findall(r"python -m descentlab ([a-z-]+)", page.read_text())}
    listed = run_verb(tmp_path, "--help").stdout
    assert named >= {"diff", "report", "schema"}
    assert {verb for verb in named if not re.search(rf"^    {verb} ", listed, flags=re.M)} == set()


def test_the_mlflow_ui_answers(checkout: Path) -> None:
    planned = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "ui", "PORT=5917"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    line = planned.stdout.replace("\\\n", " ").strip().splitlines()[-1]
    words = shlex.split(line)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    assert variables == {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    assert command[0].endswith("/mlflow")
    assert command[command.index("--host") + 1] == "127.0.0.1"
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *command[1:]],
        cwd=checkout,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert answered("http://127.0.0.1:5917/").startswith("<!doctype html")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def answered(address: str) -> str:
    """What a server says, waited for."""
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return str(answer.read(200).decode().lower())
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{address} did not answer within two minutes")


@pytest.mark.parametrize("block", CONFIGS, ids=on_page)
def test_configs_are_valid(block: Block) -> None:
    parse_config(yaml.safe_load(block.text), on_page(block))


def test_the_mapping_is_valid(tmp_path: Path) -> None:
    (block,) = [block for block in blocks("yaml") if block.file == "mapping.yaml"]
    (tmp_path / block.file).write_text(block.text)
    mapping = load_mapping(tmp_path / block.file)
    assert mapping.metrics.test == ("final_r2",)
    assert mapping.optimizers == {"SGD+m": "momentum"}


def test_the_problem_of_the_readers_own_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    from descentlab.training.make_plan import make_plan

    del device
    (tmp_path / "my_problem.py").write_text(blocks("python", "README.md")[0].text)
    monkeypatch.syspath_prepend(tmp_path)
    config: dict[str, Any] = {"experiment": "e", "problems": ["my_problem:PROBLEM"], "optimizers": ["adam"]}
    plan = make_plan(parse_config(config, "README.md"))
    assert plan.problems["problem"].parameters == 5 * 8 + 8 + 8 + 1


FOLDERS = ("src", "tests", "workflow", "docs", "benchmarks", "reports", ".ci", ".github")
FILES = [
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
]
MADE = re.compile(r"(my_|mapping\.yaml|basic_auth\.ini|results/|reports/(default|EXPERIMENT|NAME|after)/)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_exists(page: Path) -> None:
    """A name may leave out the first folders of a path; what a block of the pages, or the workflow, makes is not there yet."""
    text = prose(page)
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|ya?ml|json|ini|po|smk|toml|lock|html|css|js|png))`", text))
    named |= set(re.findall(r"`((?:src|workflow|tests|docs|benchmarks)/[\w./-]+)`", text))
    made = {name for block in blocks("python") + blocks("yaml") if (name := block.file)}
    made |= {"plan.json", "selections.json", "claims.json", "answers.json", "index.html", "diff.html"}
    absent = {
        name
        for name in named - made
        if not MADE.match(name) and not any(f"/{file}".endswith(f"/{name.rstrip('/')}") for file in FILES)
    }
    assert absent == set()


def test_the_example_optimizer_is_as_short_as_promised() -> None:
    source = (ROOT / "src/descentlab/optimizers/slides_adagrad.py").read_text()
    code = re.sub(r'""".*?"""', "", source, flags=re.S)
    lines = [
        line for line in code[code.index("class") :].splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) <= 15
