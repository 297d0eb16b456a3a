"""The Kubernetes profile: what it would run, and that its files agree: `make test-kubernetes`."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from support.workflow_fixture import ROOT, snakemake_command, workflow_environment

PROFILE = ROOT / "workflow/profiles/kubernetes"
SETTINGS = yaml.safe_load((PROFILE / "config.yaml").read_text())
OBJECTS = {
    (one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all((PROFILE / "experiment.yaml").read_text())
}
PLUGINS = ("snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_fs")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in PLUGINS),
        reason="Snakemake's plugins for Kubernetes are not installed: make test-kubernetes does it",
    ),
]


def dry_run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """``snakemake -n`` with the profile; its stderr is part of stdout."""
    command = snakemake_command(folder, "-n", "--profile", str(PROFILE))
    known = {name: value for name, value in workflow_environment().items() if not name.startswith("MLFLOW_")}
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
        env={**known, **variables},
    )


def test_every_job_is_planned_through_the_volume_and_none_asks_for_a_gpu(tmp_path: Path) -> None:
    planned = dry_run(tmp_path, MLFLOW_TRACKING_URI="http://mlflow:5000")
    assert planned.returncode == 0, planned.stdout
    outputs = re.findall(r"^    output: (.+)$", planned.stdout, flags=re.M)
    assert len(outputs) >= 8
    written = [file for output in outputs for file in output.split(", ")]
    assert all(re.fullmatch(r"/data/(results|reports)/test/\S+ \(send to storage\)", file) for file in written), written
    resources = re.findall(r"^    resources: (.+)$", planned.stdout, flags=re.M)
    assert len(resources) > len(outputs) - 1
    assert all("mem_mb=2000" in line and "gpu" not in line for line in resources)


def test_the_store_must_be_named(tmp_path: Path) -> None:
    refused = dry_run(tmp_path)
    assert refused.returncode != 0
    assert "MLFLOW_TRACKING_URI" in refused.stdout


def test_the_profile_and_the_pod_that_uses_it_name_the_same_things() -> None:
    claim, place = SETTINGS["kubernetes-persistent-volumes"][0].split(":")
    assert ("PersistentVolumeClaim", claim) in OBJECTS
    assert OBJECTS["PersistentVolumeClaim", claim]["spec"]["accessModes"] == ["ReadWriteMany"]
    pod = OBJECTS["Job", "descentlab"]["spec"]["template"]["spec"]
    assert ("ServiceAccount", pod["serviceAccountName"]) in OBJECTS
    (container,) = pod["containers"]
    assert container["image"] == SETTINGS["container-image"]
    assert (
        [mount["mountPath"] for mount in container["volumeMounts"]] == [place] == [SETTINGS["default-storage-prefix"]]
    )
    assert [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]] == [claim]
    assert set(SETTINGS["envvars"]) <= {variable["name"] for variable in container["env"]}


def test_the_image_gets_files_that_exist_and_all_that_the_workflow_needs() -> None:
    lines = re.sub(r"\\\n", " ", (PROFILE / "Dockerfile").read_text()).splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    assert {"src", "Snakefile", "workflow", "environment.yml", "requirements.lock"} <= copied
