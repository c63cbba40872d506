"""Incidents that really happen to real processes: each gets its class, the line that says so, and a dossier."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from levare.cli.failure import of_dossier
from levare.model.failures import FAILURE_CLASSES
from tests.fleet import Fleet, eventually, fleet

LOST_AFTER = 6


@dataclass(frozen=True)
class Incident:
    """A script that comes to grief; `says` is in the first line of the evidence."""

    name: str
    script: str
    says: str
    wishes: dict[str, Any] | None = None
    command: tuple[str, ...] = ()


NAN = """
import json, os
with open(os.environ["LEVARE_METRICS"], "a") as file:
    for step, loss in enumerate([0.9, 0.5, float("nan")]):
        print(json.dumps(dict(step=step, stage="train", loss=loss)), file=file)
raise SystemExit(1)
"""
GPU_MEMORY = """
import sys
class OutOfMemoryError(RuntimeError): pass
OutOfMemoryError.__module__ = "torch"
for n in range(100): print(f"\\r{n}%", end="", file=sys.stderr)
raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB")
"""
HOST_MEMORY = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (400 * 2**20, 400 * 2**20))
held = [bytearray(64 * 2**20) for _ in range(100)]
"""
DISK_FULL = "open('/dev/full', 'wb', buffering=0).write(b'x' * 100000)"
FILE_SIZE = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000))
open("model.pt", "wb", buffering=0).write(b"x" * 900000)
open("model.pt", "ab", buffering=0).write(b"x" * 900000)
open("model.pt", "ab", buffering=0).write(b"x" * 900000)
"""
BAD_ARGUMENT = """
import argparse
parser = argparse.ArgumentParser(prog="train.py")
parser.add_argument("--lr", type=float)
parser.parse_args(["--learning-rate", "0.1"])
"""
SEGFAULT = "import ctypes; print('step 1', flush=True); ctypes.string_at(0)"
CHAINED = """
try:
    open("/data/missing/labels.csv")
except OSError as error:
    raise RuntimeError("the data set cannot be loaded") from error
"""
SLEEP = "import time; print('step 1', flush=True); time.sleep(600)"
KILLED = "import os, signal, time; print('step 1', flush=True); os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)"

SMALL_DISK = "import sys; open(sys.argv[1] + '/model.pt', 'wb').write(b'x' * 4 * 2**20)"
FILLS_MEMORY = "held = [bytearray(16 * 2**20) for _ in range(40)]"


def _of_the_kernel() -> dict[str, Incident]:
    """Where this user may mount a file system and limit the memory of a group of processes: else there are none."""
    found = dict[str, Incident]()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0:
        script = f'mount -t tmpfs -o size=1m none /mnt && exec "{sys.executable}" -c "$0" /mnt'
        command = ("unshare", "-rm", "sh", "-c", script, SMALL_DISK)
        found["a small disk that is full"] = Incident("disk_full", "", "No space left on device", command=command)
    group = _memory_group()
    if group:
        script = f'echo $$ > {group}/cgroup.procs && exec "{sys.executable}" -c "$0"'
        command = ("sh", "-c", script, FILLS_MEMORY)
        found["a limit of memory that the kernel keeps"] = Incident("host_memory", "", "ut of memory", command=command)
    return found


def _memory_group() -> Path | None:
    """A group whose processes may have 64 MiB together; it is left to the machine, where it costs nothing."""
    for root, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = Path(root, "levare-tests")
        with suppress(OSError):
            if Path(root, "cgroup.procs").exists():
                group.mkdir(exist_ok=True)
                (group / limit).write_text(str(64 * 2**20))
                return group
    return None


INCIDENTS = {
    "a loss that becomes NaN": Incident("nan", NAN, "loss: nan"),
    "too little memory of the GPU": Incident("gpu_memory", GPU_MEMORY, "CUDA out of memory"),
    "too little main memory": Incident("host_memory", HOST_MEMORY, "MemoryError"),
    "a full disk": Incident("disk_full", DISK_FULL, "No space left on device"),
    "a limit of file size": Incident("disk_full", FILE_SIZE, "File too large"),
    "a missing file": Incident("data_not_found", CHAINED, "/data/missing/labels.csv"),
    "a missing module": Incident("import_error", "import no_such_framework", "no_such_framework"),
    "a wrong argument": Incident("bad_argument", BAD_ARGUMENT, "unrecognized arguments: --learning-rate"),
    "a missing program": Incident("command_not_found", "", "no-such-program", command=("no-such-program", "--lr")),
    "a program that a shell misses": Incident(
        "command_not_found", "", "not found", command=("sh", "-c", "no-such-program --lr 0.1")
    ),
    "a crash": Incident("segfault", SEGFAULT, "SIGSEGV"),
    "a kill": Incident("killed", KILLED, "SIGKILL"),
    "a limit of time": Incident("timeout", SLEEP, "longer than its limit", {"timeout_seconds": 1, "grace_seconds": 1}),
    "an assertion": Incident("assertion", "assert 3 % 2 == 0, 'odd batch'", "AssertionError: odd batch"),
    "a plain exception": Incident("exception", "{}['labels']", "KeyError: 'labels'"),
    "no word": Incident("unknown", "raise SystemExit(7)", "Exited with code 7"),
}
BY_THE_KERNEL = _of_the_kernel()
ALL = INCIDENTS | BY_THE_KERNEL


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("incidents"), LEVARE_LOST_AFTER=str(LOST_AFTER)) as deployment:
        deployment.start_all()
        yield deployment


@pytest.fixture(scope="module")
def jobs(running: Fleet) -> dict[str, str]:
    """What -> the job that it happens to. A kill is over before the kernel kills: it might be its work."""

    def submitted(incidents: dict[str, Incident]) -> dict[str, str]:
        return {
            what: running.submit(
                *(incident.command or (sys.executable, "-c", incident.script)), name=what, **incident.wishes or {}
            )
            for what, incident in incidents.items()
        }

    jobs = submitted(INCIDENTS)
    running.await_end(jobs["a kill"])
    return jobs | submitted(BY_THE_KERNEL)


def dossier(running: Fleet, job_id: str) -> dict[str, Any]:
    return running.client.get(f"/v1/jobs/{job_id}/failure").raise_for_status().json()


@pytest.mark.parametrize("what", ALL)
def test_each_incident_gets_its_class_and_the_line_that_says_so(running: Fleet, jobs: dict[str, str], what: str):
    incident, job_id = ALL[what], jobs[what]
    (job,) = running.await_end(job_id)

    found = dossier(running, job_id)

    assert (job["failure"], found["failure"]) == (incident.name, incident.name), found["evidence"]
    assert incident.says in found["evidence"][0]["text"], found["evidence"]
    assert found["next_step"] == FAILURE_CLASSES[incident.name].next_step
    log = running.log(job_id)
    for each in found["evidence"]:
        if each["source"] == "log":
            assert log[each["offset"] :].startswith(each["text"].encode()[:20])


def test_each_incident_is_one_alert_that_names_its_class_and_ends_when_its_family_works_again(
    running: Fleet, jobs: dict[str, str]
):
    def alerts(state: str) -> dict[str, list[str]]:
        """Job -> what was told of it."""
        asked = {"rule": "failure", "state": state, "limit": 500}
        told: dict[str, list[str]] = {job_id: [] for job_id in jobs.values()}
        for alert in running.client.get("/v1/alerts", params=asked).raise_for_status().json()["items"]:
            told.setdefault(alert["job"], []).append(alert["message"])
        return told

    running.await_end(*jobs.values())
    eventually(lambda: all(alerts("any")[job_id] for job_id in jobs.values()), within=60)
    for what in jobs:
        running.submit("true", name=what)
    eventually(lambda: all(alerts("ended")[job_id] for job_id in jobs.values()), within=60)

    for what, job_id in jobs.items():
        [message] = alerts("any")[job_id]
        known = FAILURE_CLASSES[ALL[what].name]
        assert known.name == "unknown" or f"It {known.title}." in message


def test_lists_show_the_class_and_find_jobs_by_it(running: Fleet, jobs: dict[str, str]):
    running.await_end(*jobs.values())

    listed = running.client.get("/v1/jobs", params={"failure": ["disk_full", "nan"]}).json()["items"]
    refused = running.client.get("/v1/jobs", params={"failure": "disk-full"})

    of_these = {what for what, incident in ALL.items() if incident.name in ("disk_full", "nan")}
    assert {job["name"] for job in listed} == of_these
    assert refused.status_code == 422
    assert "disk_full" in refused.text


def test_a_dossier_reads_well(running: Fleet, jobs: dict[str, str]):
    running.await_end(jobs["a missing file"])

    text = "\n".join(of_dossier(dossier(running, jobs["a missing file"])))  # pyright: ignore[reportArgumentType]

    assert f"{jobs['a missing file']} (a missing file), attempt 1 on n1, misses a file, a folder or a data set." in text
    assert "[log, byte " in text
    assert "No run of default/default/a missing file has succeeded before" in text
    assert "RuntimeError: the data set cannot be loaded" in text


def test_a_dossier_tells_what_has_changed_since_the_last_good_run(running: Fleet, tmp_path: Path):
    run_version(running, tmp_path, 1, "print('ok')")
    await_provenance(running, running.python("raise SystemExit(1)"))  # of what came before it, too
    job_id = run_version(running, tmp_path, 2, "raise ValueError(1)")
    await_provenance(running, job_id)

    found = dossier(running, job_id)

    changes = {(each["kind"], each["name"]) for each in found["changes"]}
    assert found["last_good"]["number"] == 1
    assert {("code", "train.py"), ("dependencies", "requirements.txt"), ("configuration", "SEED")} <= changes
    assert {("configuration", "command"), ("data", "id")} <= changes
    assert found["provenance"]["python_version"]


def run_version(running: Fleet, folder: Path, number: int, script: str) -> str:
    (folder / "train.py").write_text(script)
    (folder / "requirements.txt").write_text(f"numpy=={number}\n")
    env = {"SEED": str(number), "LEVARE_DATA": f"set@{number}"}
    job_id = running.submit(sys.executable, "train.py", "--lr", str(number), name="changed", cwd=str(folder), env=env)
    running.await_end(job_id)
    return job_id


def await_provenance(running: Fleet, job_id: str) -> None:
    running.await_end(job_id)
    eventually(lambda: dossier(running, job_id)["provenance"])


def test_what_has_not_failed_has_no_dossier(running: Fleet):
    job_id = running.submit("true")
    running.await_end(job_id)

    refused = running.client.get(f"/v1/jobs/{job_id}/failure")

    assert refused.status_code == 404
    assert refused.json()["detail"] == f"No attempt of job {job_id} has failed."


def test_a_job_whose_supervisor_is_killed_is_lost(running: Fleet):
    job_id = running.python(SLEEP, on_lost="requeue")
    running.await_state(job_id, "running")
    (process,) = eventually(lambda: running.job_processes(job_id))

    os.kill(process.ppid(), signal.SIGKILL)

    eventually(lambda: running.attempts(job_id)[0]["state"] == "lost")
    assert dossier(running, job_id)["failure"] == "node_lost"
    running.cancel(job_id)


def test_a_job_whose_worker_is_killed_is_lost_with_its_node(running: Fleet):
    job_id = running.python(SLEEP, on_lost="requeue", grace_seconds=0)
    running.await_state(job_id, "running")

    running.kill("worker")

    eventually(lambda: running.attempts(job_id)[0]["state"] == "lost", within=4 * LOST_AFTER)
    found = dossier(running, job_id)
    assert found["failure"] == "node_lost"
    assert found["evidence"][0]["text"] == f"Its node did not renew its lease for {LOST_AFTER} s."
