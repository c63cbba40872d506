"""What deployments of one's own are made of: units of systemd and manifests of Kubernetes, as the Procfile has it."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from levare import settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
COMPOSE = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())
UNITS = sorted((DEPLOY / "systemd").glob("levare*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
KNOWN = {*re.findall(r'"(LEVARE_[A-Z_]+)"', Path(settings.__file__).read_text())}
JOBS = ("worker", "node")
"""Units below which jobs run."""


class Unit(ConfigParser):
    """A unit; a key that stands twice is an error here, as none of ours needs that."""

    def __init__(self, path: Path) -> None:
        super().__init__(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
        self.read_string(path.read_text())


def documents() -> list[dict[str, Any]]:
    reader = YAML(typ="safe")
    listed = reader.load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    files = [DEPLOY / "kubernetes" / name for name in listed]
    assert {path.name for path in files} == {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {
        "kustomization.yaml"
    }
    return list(chain.from_iterable(reader.load_all(path.read_text()) for path in files))


WORKLOADS = [each for each in documents() if each["kind"] in ("Deployment", "StatefulSet")]


def name_of(document: dict[str, Any]) -> str:
    return document["metadata"]["name"]


def container(workload: dict[str, Any]) -> dict[str, Any]:
    [found] = workload["spec"]["template"]["spec"]["containers"]
    return found


def test_each_process_of_the_procfile_has_a_unit_with_its_command():
    commands = {path.stem.removeprefix("levare-"): Unit(path)["Service"]["ExecStart"] for path in SERVICES}

    assert commands.pop("node") == "/opt/levare/.venv/bin/levare node run"
    assert commands == {name: f"/opt/levare/.venv/bin/{command}" for name, command in PROCFILE.items()}


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_a_unit_runs_as_nobody_special_and_holds_no_secret(path: Path):
    service = Unit(path)["Service"]

    assert (service["User"], service["NoNewPrivileges"], service["Restart"]) == ("levare", "yes", "always")
    assert (service["WorkingDirectory"], service["StateDirectoryMode"]) == ("/opt/levare", "0700")
    variables = dict(each.split("=", 1) for each in service["Environment"].split())
    assert {name for name in variables if name.startswith("LEVARE_")} == {"LEVARE_HOME", "LEVARE_LOG_FORMAT"}
    assert service["EnvironmentFile"] == "-/etc/levare/levare.env"


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_jobs_outlive_the_units_below_which_they_run_and_all_others_are_shut_in(path: Path):
    service = Unit(path)["Service"]
    if path.stem.removeprefix("levare-") in JOBS:
        assert (service["KillMode"], service["Delegate"], service.get("MemoryMax")) == ("process", "yes", None)
    else:
        shut = ("ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectControlGroups")
        assert {service[name] for name in shut} == {"yes"}
        assert (service["ProtectSystem"], "KillMode" in service) == ("strict", False)


def test_the_target_wants_what_runs_beside_the_api():
    wanted = Unit(DEPLOY / "systemd" / "levare.target")["Unit"]["Wants"].split()

    assert {f"levare-{name}.service" for name in PROCFILE} - set(wanted) == {"levare-worker.service"}
    assert all((DEPLOY / "systemd" / name).exists() for name in wanted)


def test_systemd_finds_nothing_to_say_of_the_units(tmp_path: Path):
    """As if /opt/levare were there; where there is no systemd, the tests above have to do."""
    if not shutil.which("systemd-analyze"):
        return
    for name in ("python", "levare"):
        shutil.copy("/bin/true", tmp_path / name)
    for path in UNITS:
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/levare/.venv/bin", str(tmp_path)))
    units = [tmp_path / path.name for path in UNITS]

    ran = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)

    ours = [line for line in ran.stderr.splitlines() if "levare" in line]
    assert ours == []


def test_kubernetes_runs_every_process_of_the_procfile_by_the_same_command():
    commands = {name_of(each): " ".join(container(each).get("command", ())) for each in WORKLOADS}
    script = COMPOSE["services"]["redis"]["command"][2].replace("$$", "$")

    assert set(commands) == {*PROCFILE, "postgres"}
    assert commands.pop("redis") == f"sh -c {script}"
    assert commands.pop("postgres") == ""
    assert commands == {name: command for name, command in PROCFILE.items() if name != "redis"}


def test_kubernetes_takes_the_images_of_compose():
    kustomization = YAML(typ="safe").load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    ours = {each["name"]: f"{each['newName']}:{each['newTag']}" for each in kustomization["images"]}

    for workload in WORKLOADS:
        image = container(workload)["image"]
        service = COMPOSE["services"][name_of(workload)]
        assert ours.get(image, image) == service.get("image", COMPOSE["x-levare"]["image"]), name_of(workload)


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_may_nothing_that_it_need_not(workload: dict[str, Any]):
    pod, own = workload["spec"]["template"]["spec"], container(workload)

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_has_bounds_and_says_when_it_is_ready(workload: dict[str, Any]):
    own = container(workload)

    assert {"cpu", "memory"} <= own["resources"]["requests"].keys()
    assert "memory" in own["resources"]["limits"]
    assert ("readinessProbe" in own) == (name_of(workload) != "beat")
    assert ("livenessProbe" in own) == (name_of(workload) not in ("beat", "worker"))


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_gets_secrets_by_reference_and_only_settings_that_there_are(workload: dict[str, Any]):
    for variable in container(workload)["env"]:
        name = variable["name"]
        if re.search("PASSWORD|AUTH|DATABASE|LEVARE_REDIS", name):
            assert variable["valueFrom"]["secretKeyRef"]["name"] == "levare", name
        assert not name.startswith("LEVARE_") or name in KNOWN, name


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_what_a_pod_mounts_and_selects_is_there(workload: dict[str, Any]):
    spec = workload["spec"]
    volumes = {each["name"] for each in spec["template"]["spec"].get("volumes", ())}
    volumes |= {each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", ())}
    services = {name_of(each) for each in documents() if each["kind"] == "Service"}

    assert {each["name"] for each in container(workload)["volumeMounts"]} == volumes
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert name_of(workload) in services or name_of(workload) in ("beat", "flower", "worker")


def test_kubectl_renders_all_of_it_into_one_namespace():
    """Without a cluster; where there is no kubectl, the tests above have to do."""
    if not shutil.which("kubectl"):
        return
    ran = subprocess.run(["kubectl", "kustomize", DEPLOY / "kubernetes"], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    rendered = list(YAML(typ="safe").load_all(ran.stdout))
    assert len(rendered) == len(documents())
    assert {each["metadata"]["namespace"] for each in rendered} == {"levare"}
