"""`levare pools`, `levare machines`, `levare nodes invite`, `levare node`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from levare.agent import Identity
from levare.cli import levare
from tests.pure.scripted import Api, a_problem, levare_run

CODE = "lvj_nQ3v1b8"


def a_worker(**other: Any) -> dict[str, Any]:
    worker = {
        "name": "atlas-small-1",
        "machine": "atlas",
        "state": "ready",
        "attempts": 2,
        "since": "2030-01-01T12:00:00Z",
        "reason": "4 workers are asked for.",
        "note": None,
    }
    return worker | other


def a_pool(**other: Any) -> dict[str, Any]:
    pool = {
        "name": "small",
        "definition": {"workers": 4, "offers": {"cpus": 8}, "select": {"zone": "a"}},
        "revision": 12,
        "owner": "ada",
        "changed_at": "2030-01-01T12:00:00Z",
        "wanted": 4,
        "why": "4 workers are asked for.",
        "decided_at": "2030-01-01T12:00:00Z",
        "workers": [a_worker(), a_worker(name="atlas-small-2", state="starting", note="It ended with exit code 1.")],
    }
    return pool | other


def a_machine(**other: Any) -> dict[str, Any]:
    machine = {
        "name": "atlas",
        "state": "ready",
        "seen_at": "2030-01-01T12:00:00Z",
        "joined_at": "2030-01-01T12:00:00Z",
        "invited_by": "ada",
        "draining_by": None,
        "version": "0.1.0",
        "labels": {"zone": "a"},
        "cpus": 64,
        "memory_mib": 262144,
        "scratch_mib": 1048576,
        "gpus": [],
        "workers": ["atlas-small-1"],
    }
    return machine | other


def test_pools_show_what_they_want_and_have_and_why():
    api = Api().on("GET /v1/pools", {"items": [a_pool()]}).on("GET /v1/pools/small", a_pool())

    rows = [line.split() for line in levare_run(api, "pools").stdout.splitlines()]
    one = levare_run(api, "pools", "small").stdout

    assert rows[0][:8] == ["pool", "wants", "has", "starting", "ready", "draining", "stopping", "lost"]
    assert rows[1][:8] == ["small", "4", "2", "1", "1", "0", "0", "0"]
    assert "4 workers are asked for." in one
    assert "It ended with exit code 1." in one


def test_without_pools_the_way_to_one_is_told():
    assert "levare pools set NAME FILE" in levare_run(Api().on("GET /v1/pools", {"items": []}), "pools").stderr


def test_a_pool_is_set_from_a_file(tmp_path: Path):
    api, file = Api().on("PUT /v1/pools/small", a_pool()), tmp_path / "small.yaml"
    file.write_text("workers: 4\noffers: {cpus: 8}\n")

    ran = levare_run(api, "pools", "set", "small", str(file))

    assert ran.stdout == "small is set: it has 4 workers\n"
    assert api.body() == {"workers": 4, "offers": {"cpus": 8}}
    file.write_text("worker: 4")
    assert "has worker; a pool has workers, select" in levare_run(api, "pools", "set", "small", str(file)).stderr


def test_a_pool_is_scaled_and_all_else_of_it_stays():
    api = Api().on("GET /v1/pools/small", a_pool()).on("PUT /v1/pools/small", a_pool())

    levare_run(api, "pools", "scale", "small", "6")
    assert api.body() == {"workers": 6, "offers": {"cpus": 8}, "select": {"zone": "a"}}

    levare_run(api, "pools", "scale", "small", "0", "--max", "9", "--queue-per-worker", "3")
    assert api.body()["workers"] == {"min": 0, "max": 9, "queue_per_worker": 3}
    assert levare_run(api, "pools", "scale", "small", "0", "--queue-per-worker", "3").exit_code == 2


def test_a_pool_is_removed_and_it_is_told_what_becomes_of_its_workers():
    api = Api().on("DELETE /v1/pools/small", a_pool())

    assert levare_run(api, "pools", "remove", "small").stdout == "small is removed; 2 workers drain\n"


def test_machines_are_listed_drained_and_forgotten():
    api = Api().on("GET /v1/machines", {"items": [a_machine()]})
    api.on("PUT /v1/machines/atlas/state", a_machine(state="draining")).on("DELETE /v1/machines/atlas", a_machine())

    assert "zone=a" in levare_run(api, "machines").stdout
    drained = levare_run(api, "machines", "drain", "atlas").stdout
    assert drained == "atlas is draining (1 worker; each goes when nothing runs on it any more)\n"
    assert levare_run(api, "machines", "forget", "atlas").stdout == "atlas is forgotten\n"


def test_an_invitation_is_the_command_for_the_machine():
    made = {"code": CODE, "machine": "atlas", "expires_at": "2030-01-01T12:00:00Z"}
    api = Api().on("POST /v1/nodes/invitations", made)

    ran = levare_run(api, "nodes", "invite", "--machine", "atlas", "--expires", "1h", "--url", "https://levare.lab")

    assert ran.stdout == f"levare node join https://levare.lab {CODE} --name atlas\n"
    assert api.body() == {"machine": "atlas", "expires_in_seconds": 3600}
    assert json.loads(levare_run(api, "nodes", "invite", "--json").stdout)["code"] == CODE


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://8.8.8.8:8420", "in the clear"),
        ("ftp://atlas", "is no address of an API"),
        ("atlas:8420", "is no address of an API"),
    ],
)
def test_secrets_are_not_asked_for_over_the_internet_in_the_clear(url: str, says: str, tmp_path: Path):
    ran = CliRunner(env={"LEVARE_HOME": str(tmp_path)}).invoke(levare, ["node", "join", url, CODE])

    assert ran.exit_code == 1
    assert says in ran.stderr


def test_what_a_machine_is_given_is_kept_for_its_user_alone(tmp_path: Path):
    identity = Identity("https://levare.lab", "atlas", "lv_secret", "postgresql://u:p@h/l", "redis://:p@h", 60, {})

    identity.save(tmp_path)

    assert (tmp_path / "node.json").stat().st_mode & 0o777 == 0o600
    assert Identity.load(tmp_path) == identity
    assert "secret" not in repr(identity)
    assert "u:p" not in repr(identity)


def test_a_machine_that_has_not_joined_is_told_how(tmp_path: Path):
    ran = CliRunner(env={"LEVARE_HOME": str(tmp_path)}).invoke(levare, ["node", "run"])

    assert ran.exit_code == 1
    assert "levare nodes invite" in ran.stderr


def test_an_error_of_the_api_is_told():
    api = Api().on("GET /v1/pools/none", a_problem("not-found", 404, detail="There is no pool 'none'."))

    assert "There is no pool 'none'." in levare_run(api, "pools", "scale", "none", "3").stderr
