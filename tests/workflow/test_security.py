"""What the source never does: run text as code, unpickle, open a port to others, install what no hash pins."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from support.markdown_pages import PAGES
from support.workflow_fixture import ROOT

PACKAGE = ROOT / "src/descentlab"
# Modules of the package that run other programs, unpickle, or speak to a network.
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "subprocess",
    "pty",
    "socket",
    "socketserver",
    "http",
    "urllib.request",
    "requests",
    "httpx",
    "ctypes",
}
# Calls, by their last name, that run text as code or read files that can hold code.
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "import_module",
    "system",
    "popen",
    "read_pickle",
    "load_model",
    "enable_unsafe_deserialization",
    "mktemp",
}
UNSAFE_YAML = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}
# What is there all the same, and why.
ELSEWHERE = {
    ("optimizers/import_path.py", "import_module"): "an import path of the config is code, as README.md says",
    ("optimizers/literature/__init__.py", "import_module"): "one of the package's own modules, from a table",
    ("problems/table.py", "import_module"): "one of the package's own modules, from a table",
    ("training/make_plan.py", "subprocess"): "git, in the package's own folder: a list of words, none from a config",
    ("measurements/memory.py", "ctypes"): "the C library's mallopt, with two numbers",
    ("training/execution/gpu_slots.py", "ctypes"): "finds CUDA's libraries, calls nothing in them",
    ("training/engine/compiled_model.py", "compile"): "TensorFlow compiles a function of ours",
    ("training/engine/trainer.py", "compile"): "TensorFlow compiles a function of ours",
    ("training/engine/keras_model.py", "compile"): "Keras compiles a model",
    ("training/engine/trainable.py", "compile"): "Keras compiles a model",
}


def dangers(tree: ast.AST) -> Iterator[str]:
    """Names of the modules and calls that run text as code, unpickle, start programs or speak to a network."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name}" for name in names]
            parts = {".".join(name.split(".")[:n]) for name in names for n in (1, 2)}
            yield from parts & MODULES
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            last = called.rpartition(".")[2]
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if last in CALLS and called != "re.compile":
                yield last
            if called.startswith("yaml.") and last in UNSAFE_YAML:
                yield called
            if called in {"np.load", "numpy.load"} and given.get("allow_pickle") != "False":
                yield "np.load"
            for keyword, harmless in (("shell", "False"), ("allow_pickle", "False"), ("safe_mode", "True")):
                if given.get(keyword, harmless) != harmless:
                    yield f"{keyword}={given[keyword]}"


def test_no_text_runs_as_code_and_nothing_is_unpickled() -> None:
    found = {
        (str(path.relative_to(PACKAGE)), danger)
        for path in PACKAGE.rglob("*.py")
        for danger in dangers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set(ELSEWHERE)


@pytest.mark.parametrize(
    ("line", "danger"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "joblib"),
        ("import urllib.request", "urllib.request"),
        ("from urllib import request", "urllib.request"),
        ("from http.server import HTTPServer", "http"),
        ("np.load(path)", "np.load"),
        ("np.load(path, allow_pickle=True)", "np.load"),
        ("pd.read_pickle(path)", "read_pickle"),
        ("keras.models.load_model(path)", "load_model"),
        ("f(path, safe_mode=False)", "safe_mode=False"),
        ("yaml.load(text, yaml.Loader)", "yaml.load"),
        ("os.system(text)", "system"),
        ("run(text, shell=True)", "shell=True"),
        ("eval(text)", "eval"),
    ],
)
def test_a_danger_is_seen(line: str, danger: str) -> None:
    assert danger in set(dangers(ast.parse(line)))


def test_what_is_no_danger_is_not() -> None:
    harmless = (
        "re.compile(text)\nnp.load(path, allow_pickle=False)\nyaml.safe_load(text)\nfrom urllib.parse import quote"
    )
    assert list(dangers(ast.parse(harmless))) == []


def words_of_servers() -> Iterator[tuple[str, list[str]]]:
    """Each command that starts a server of MLflow, in makefiles, pages and programs: the file, and the words of the command."""
    for path in [ROOT / "Makefile", *PAGES]:
        joined = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in joined.splitlines():
            if re.match(r"\s*(\S+=\S+\s+)*(\S*/)?mlflow (ui|server)\b", line):
                yield path.name, shlex.split(line.replace("$(", "("), comments=True)
    for folder in ("tests", "docs", "benchmarks", "src"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
                # Commands are lists of words; one may be put together over several lines of a function.
                lists = [
                    [word.value for word in node.elts if isinstance(word, ast.Constant)]
                    for node in ast.walk(function)
                    if isinstance(node, ast.List)
                ]
                if any(pair in {("mlflow", "ui"), ("mlflow", "server")} for words in lists for pair in pairwise(words)):
                    yield path.name, [word for words in lists for word in words]


def test_every_server_listens_to_this_machine_alone() -> None:
    servers = list(words_of_servers())
    assert {"Makefile", "clusters.md", "postgres_server.py", "screenshots.py"} <= {name for name, _ in servers}
    for name, words in servers:
        assert "--host" in words, name
        assert words[words.index("--host") + 1] == "127.0.0.1", name


def test_no_browser_listens() -> None:
    launched = 0
    for folder in ("tests", "docs", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path == Path(__file__):
                continue
            text = path.read_text(encoding="utf-8")
            launched += text.count("chromium.launch(")
            assert "remote-debugging" not in text and "launch_server" not in text, path
    assert launched >= 3


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: path.name)
def test_a_lock_has_hashes_and_no_address(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    pins = re.split(r"\n(?=\S)", "\n".join(lines))
    for pin in pins:
        name = pin.split(" ", 1)[0]
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[\w.!+-]+", name), pin[:100]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", pin), name
        assert not re.search(r"://|file:|--\w*index|--find-links|--trusted-host| @ ", pin), name
    assert len(pins) > (100 if path.name == "requirements.lock" else 0)


def test_what_make_downloads_is_pinned_by_hash() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    installs = [line for line in lines if re.search(r"\bpip (install|sync)\b", line)]
    assert len(installs) >= 3
    for line in installs:
        own = line.rstrip().endswith("--no-deps --no-build-isolation --editable .")
        assert "--require-hashes" in line or own, line
