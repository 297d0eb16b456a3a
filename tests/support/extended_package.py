"""What a copy of the package does once the examples of docs/extending.md are in it: printed as JSON.

Run in a folder with the copy on the path, so that what is imported here is the copy.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

import descentlab
from descentlab.__main__ import main
from support.written_report import built

RESULTS = Path("results/sign-descent")
MEASURED = Path("measured/stability.parquet")


def write_config(text: str) -> str:
    """The page's config, small, with the README's problem and the page's measurement and language too."""
    config = yaml.safe_load(text)
    config["problems"] = [
        *({"problem": name, "epochs": 3} for name in config["problems"]),
        {"problem": "my_problem:PROBLEM", "epochs": 3},
    ]
    config |= {"arms": ["default"], "seeds": {"final": 2}, "measurements": ["stability"], "report": {"language": "fr"}}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    return "config.yaml"


def train_and_measure(config: str) -> None:
    """Every stage up to the tables, by the commands of the page."""
    plan = str(RESULTS / "plan.json")
    assert not main(["plan", config])
    for problem, jobs in json.loads(Path(plan).read_text())["jobs"].items():
        for job in range(len(jobs)):
            assert not main(["train", plan, "--problem", problem, "--job", str(job)])
    assert not main(["measure", plan])
    assert not main(["collect", str(RESULTS)])


def one_update() -> list[float]:
    """A weight after one update of the page's optimizer, beginning at 1, by the sign of its gradient."""
    import keras
    from my_optimizer import SignDescent

    after = []
    for gradient in (3.0, -0.5, 0.0):
        weight = keras.Variable(1.0)
        SignDescent(learning_rate=0.25).apply([keras.ops.convert_to_tensor(gradient)], [weight])
        after.append(float(weight))
    return after


def heights(rate: float) -> tuple[float, float]:
    """The mean squared error of linear regression before and after many updates of gradient descent at a rate."""
    from descentlab.problems.builtin.linear_regression import PROBLEM

    data = PROBLEM.load_data(None)
    x, y = np.hstack([data.x, np.ones((len(data.x), 1))]).astype(np.float64), data.y.astype(np.float64)
    weights = np.zeros((x.shape[1], 1))
    for _ in range(3000):
        weights -= rate * 2 * x.T @ (x @ weights - y) / len(x)
    return float(np.mean(y**2)), float(np.mean((x @ weights - y) ** 2))


def page(language: str) -> str:
    """The report of the generated experiment, with the measurement, in a language."""
    folder = Path(language)
    measured = folder / "results" / MEASURED
    measured.parent.mkdir(parents=True)
    measured.write_bytes((RESULTS / MEASURED).read_bytes())
    report = {"title": None, "reference": "momentum", "language": language}
    return built(folder, config={"report": report, "measurements": ["stability"]})


def contents(text: str) -> list[tuple[str, str]]:
    """What the page's contents list: where each line leads, and what it says."""
    nav = re.search(r"<nav.*?</nav>", text, flags=re.S)
    assert nav is not None
    return re.findall(r'<a href="#([^"]+)">([^<]+)</a>', nav[0])


def observe(config: str) -> dict[str, Any]:
    """All that the examples do."""
    train_and_measure(write_config(config))
    runs = pd.read_parquet(RESULTS / "runs.parquet")
    stable = float(pd.read_parquet(RESULTS / MEASURED)["largest_rate"].item())
    english, french = page("en"), page("fr")
    claims = json.loads(Path("en/results/claims.json").read_text())
    return {
        "package": descentlab.__file__,
        "runs": runs[["problem", "optimizer", "status"]].to_numpy().tolist(),
        "weights": one_update(),
        "below": heights(0.98 * stable),
        "above": heights(1.02 * stable),
        "table": f"{stable:.3g}",
        "english": contents(english),
        "french": contents(french),
        "page": english,
        "claims": {claim["id"]: claim for claim in claims},
    }


if __name__ == "__main__":
    print(json.dumps(observe(sys.argv[1])))
