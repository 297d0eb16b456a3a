"""What every profile says of the rules, without a cluster."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from support.workflow_fixture import ROOT

PROFILES = sorted((ROOT / "workflow/profiles").glob("*/config.yaml"))
RULE_HEAD = re.compile(r"^ *(?:rule|checkpoint)\b(?: (\w+))?:\n", re.MULTILINE)


def rules_on_a_gpu() -> set[str]:
    """The rules whose resources name a GPU, those that a loop defines by their ``name:``."""
    found: set[str] = set()
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        _, *blocks = RULE_HEAD.split(path.read_text())
        for name, body in zip(blocks[::2], blocks[1::2], strict=True):
            if re.search(r"^ +gpu=", body, re.MULTILINE):
                found |= {name} if name else set(re.findall(r'"(\w+)"', body.split("input:")[0]))
    return found


def test_rules_of_all_kinds_are_found() -> None:
    assert {"train", "train_added", "measure_alone"} <= rules_on_a_gpu()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.parent.name)
def test_a_cluster_without_gpus_gets_no_job_that_asks_for_one(profile: Path) -> None:
    resources = yaml.safe_load(profile.read_text())["set-resources"]
    # Slurm takes no GPU as 0; Kubernetes' executor asks for a node with GPUs unless the resource is None.
    assert {name for name in rules_on_a_gpu() if resources.get(name, {}).get("gpu") in (0, "None")} == rules_on_a_gpu()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.parent.name)
def test_no_profile_names_a_rule_that_is_none(profile: Path) -> None:
    assert set(yaml.safe_load(profile.read_text())["set-resources"]) <= rules_on_a_gpu()
