"""The files of docs/cluster.md start a study as it says: checked as far as one machine can."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray_nodes import environment, modules, nodes, study

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "docs" / "cluster"

pytestmark = pytest.mark.slow


def of(required: str = "", optional: str = "", **inner: Any) -> dict[str, Any]:
    """Make the schema of an object whose other fields are mistakes."""
    names = [*required.split(), *optional.split(), *inner]
    return {
        "type": "object",
        "required": [*required.split(), *inner],
        "properties": {name: {} for name in names} | inner,
        "additionalProperties": False,
    }


#: What of a Pod is used here, and what Kubernetes takes there.
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|[KMGT]i?)?$"}
CONTAINER = of(
    "name image",
    "command args envFrom volumeMounts",
    env={"type": "array", "items": of("name value", "")},
    resources=of(
        limits={
            "type": "object",
            "required": ["cpu", "memory"],
            "properties": dict.fromkeys(("cpu", "memory", "nvidia.com/gpu"), QUANTITY),
            "additionalProperties": False,
        }
    ),
)
POD = of(
    spec=of(
        "volumes",
        "terminationGracePeriodSeconds nodeSelector tolerations imagePullSecrets",
        containers={"type": "array", "items": CONTAINER, "minItems": 1},
    )
)
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
#: Fields of KubeRay's v1 API: kuberay reference, RayJobSpec, RayClusterSpec, HeadGroupSpec and
#: WorkerGroupSpec.
HEAD = of("", "serviceType enableIngress headService labels resources", rayStartParams=STRINGS,
          template=POD)  # fmt: skip
WORKERS = of(
    "",
    "numOfHosts idleTimeoutSeconds scaleStrategy suspend labels resources",
    groupName={"type": "string"},
    replicas={"type": "integer", "minimum": 0},
    minReplicas={"type": "integer", "minimum": 0},
    maxReplicas={"type": "integer", "minimum": 1},
    rayStartParams=STRINGS,
    template=POD,
)
RAYJOB = of(
    "",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=of("name", "labels annotations namespace"),
    spec=of(
        "entrypoint",
        "activeDeadlineSeconds backoffLimit clusterSelector deletionStrategy "
        "entrypointNumCpus entrypointNumGpus entrypointResources jobId managedBy metadata "
        "runtimeEnvYAML shutdownAfterJobFinishes submissionMode submitterConfig "
        "submitterPodTemplate suspend ttlSecondsAfterFinished",
        rayClusterSpec=of(
            "",
            "autoscalerOptions enableInTreeAutoscaling gcsFaultToleranceOptions "
            "headServiceAnnotations managedBy rayVersion suspend authOptions upgradeStrategy",
            headGroupSpec=HEAD,
            workerGroupSpecs={"type": "array", "items": WORKERS, "minItems": 1},
        ),
    ),
)


def test_the_rayjob_has_a_field_that_the_operator_does_not_know() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with Ray")
    job = yaml.safe_load((FILES / "rayjob.yaml").read_text())
    jsonschema.validate(job, RAYJOB)
    job["spec"]["rayClusterSpec"]["workerGroupSpec"] = []
    with pytest.raises(jsonschema.ValidationError, match="workerGroupSpec"):
        jsonschema.validate(job, RAYJOB)


def test_the_rayjob_starts_another_command_than_there_is() -> None:
    job = yaml.safe_load((FILES / "rayjob.yaml").read_text())
    words = job["spec"]["entrypoint"].split()
    assert words[:4] == ["wherefrom", "study", "run", "studies/purohit2025"]
    helped = subprocess.run(
        [sys.executable, "-m", "wherefrom", "study", "run", "--help"],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"},
    ).stdout  # fmt: skip
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", helped), option


def test_pods_are_killed_before_a_checkpoint_is_written() -> None:
    from wherefrom.study.attempt import NOTICE

    spec = yaml.safe_load((FILES / "rayjob.yaml").read_text())["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert group["template"]["spec"]["terminationGracePeriodSeconds"] > NOTICE


#: In place of Slurm: the step is run here, on a cluster that is there.
SHIMS = {
    "scontrol": '#!/bin/sh\n[ "$1 $2 $3" = "show hostnames here[1-2]" ] && printf "127.0.0.1\\n"\n',
    "srun": '#!/bin/sh\nexec "$@"\n',
    "ray": '#!/bin/sh\necho "$@" > "$SAID"\nwhile [ "$1" != "--" ]; do shift; done\nshift\n"$@"\n',
}


@pytest.mark.long
def test_the_job_of_slurm_starts_no_study(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'wherefrom[cluster]'")
    script = FILES / "study.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    shims = tmp_path / "bin"
    shims.mkdir()
    for name, text in SHIMS.items():
        (shims / name).write_text(text)
        (shims / name).chmod(0o755)
    (shims / "wherefrom").symlink_to(Path(sys.executable).with_name("wherefrom"))
    folder = tmp_path / "modules"
    folder.mkdir()
    with nodes(modules(folder), "one") as whole:
        given = {
            "PATH": f"{shims}:{os.environ['PATH']}",
            "RAY_ADDRESS": whole.address,
            "SLURM_JOB_NODELIST": "here[1-2]",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "1",
            "STUDY": str(study(tmp_path / "study")),
            "SCALE": "debug",
            "STORE": str(tmp_path / "store"),
            "OUT": str(tmp_path / "out"),
            "SAID": str(tmp_path / "said"),
            "WHEREFROM_DATA": os.environ.get("WHEREFROM_DATA", str(tmp_path)),
        }
        done = subprocess.run(
            ["bash", str(script)], env=environment(folder) | given, capture_output=True, text=True,
            cwd=tmp_path, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
    said = (tmp_path / "said").read_text()
    assert said.startswith("symmetric-run --address 127.0.0.1:6379 --min-nodes 2 --num-cpus 1 -- ")
