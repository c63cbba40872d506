"""What runs are pinned to in SQL: shared by its digest, and asked for again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from levare.errors import Conflict, NotFound
from levare.model import Device, Placement, Request
from levare.store import again, attempts, jobs, pinned, provenance
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission
from levare.store.nodes import NodeFacts, join
from levare.store.provenance import Found
from levare.store.tables_failures import packages
from levare.store.tables_pins import patches, pins

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
ANN = Actor("t1", "ann", source="test")
CODE = {"commit": "3f2a9c1d0b7e", "branch": "main", "root": "/home/ann/run", "dirty": True, "diff": "9be1c02a77d4"}
CODE |= {"diff_bytes": 8, "patch_kept": True, "untracked": 0, "untracked_names": [], "submodules": False}
SHARED: dict[str, Any] = {"code": CODE, "python_version": "3.11.9", "environment": {"TZ": "UTC", "HOME": "/home/ann"}}
DECLARED = {"LEVARE_SEED": "7", "LEVARE_DATA": "imagenet@v3"}


def fleet(connection: Connection) -> None:
    facts = NodeFacts("n1", "boot", 64, 65536, [Device("g0", 0, 81920, "H100")], simulated=True, version="1")
    join(connection, facts, incarnation="i1", now=NOW)


def submit(connection: Connection, **wish: Any) -> str:
    asked = Submission(command=["python", "train.py"], **{"env": DECLARED, "cwd": "/home/ann/run", **wish})
    return jobs.submit(connection, asked, job_id=f"j{jobs_so_far(connection)}", actor=ANN, now=NOW)["id"]


def jobs_so_far(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(jobs.jobs)).scalar_one()


def run(
    connection: Connection, job: str, *, shared: dict[str, Any] | None = None, patch: bytes | None = b"a patch"
) -> str:
    placement = Placement(job, "n1", Request(), {"g0": 1024})
    [message] = attempts.place(connection, [placement], {}, now=NOW)
    found = Found(message.attempt_id, {}, SHARED if shared is None else shared, patch, "d1", ["numpy==2.1.0"])
    provenance.keep(connection, [found])
    return message.attempt_id


def repeat(connection: Connection, job: str, **asked: Any) -> again.Again:
    wanted = {"number": None, "pinned": True, "strict": False, "now": NOW, **asked}
    return again.again(connection, job, **wanted)


def what(found: again.Again) -> list[str]:
    return [each.what for each in found.missing]


def test_what_runs_have_in_common_is_kept_once(database: Database):
    with database.writing() as connection:
        fleet(connection)
        job = ""
        for _ in range(50):
            job = submit(connection)
            run(connection, job)
        other = submit(connection)
        run(connection, other, shared={**SHARED, "python_version": "3.12.0"}, patch=b"another")
    with database.reading() as connection:
        counts = [connection.execute(select(func.count()).select_from(each)).scalar_one() for each in (pins, patches)]
        assert (counts, connection.execute(select(func.count()).select_from(packages)).scalar_one()) == ([2, 2], 1)
        assert pinned.of_job(connection, job, None, with_patch=True)["patch"] == "a patch"
        assert pinned.of_job(connection, other, 1, with_patch=True)["patch"] == "another"


def test_what_was_pinned_first_stays(database: Database):
    with database.writing() as connection:
        fleet(connection)
        attempt = run(connection, submit(connection))
        provenance.keep(connection, [Found(attempt, {}, {"python_version": "3.12.0"})])
        assert provenance.of_attempt(connection, attempt)["python_version"] == "3.11.9"


def test_pins_tell_all_that_a_run_had(database: Database):
    with database.writing() as connection:
        fleet(connection)
        job = submit(connection, env={**DECLARED, "API_KEY": {"secret": "HUB"}})
        run(connection, job)
        found = pinned.of_job(connection, job, None)

    assert (found["code"], found["seed"], found["data_id"], found["patch"]) == (CODE, "7", "imagenet@v3", None)
    assert (found["env"]["API_KEY"], found["node"], found["gpu_models"]) == ({"secret": "HUB"}, "n1", ["H100"])
    assert (found["packages"], found["missing"]) == (["numpy==2.1.0"], [])


def test_a_rerun_has_the_request_the_code_and_the_environment_of_then(database: Database):
    with database.writing() as connection:
        fleet(connection)
        job = submit(
            connection, name="resnet", gpus=1, retries=2, parameters={"lr": 0.1}, deadline=NOW + timedelta(hours=1)
        )
        attempt = run(connection, job)
        found, late = repeat(connection, job), repeat(connection, job, now=NOW + timedelta(hours=2))

    assert (found.attempt, found.missing, found.restores_code) == (attempt, [], True)
    assert found.wish.env == {"TZ": "UTC", **DECLARED}
    assert (found.wish.gpus, found.wish.retries, found.wish.parameters) == (1, 2, {"lr": 0.1})
    assert (found.wish.deadline, late.wish.deadline) == (NOW + timedelta(hours=1), None)
    assert found.wish.rerun == {"attempt": attempt, "code": True, "strict": False}


def test_the_worker_that_claims_a_rerun_gets_all_that_it_restores(database: Database):
    with database.writing() as connection:
        fleet(connection)
        job = submit(connection)
        attempt = run(connection, job)
        second = jobs.submit(connection, repeat(connection, job).wish, job_id="again", actor=ANN, now=NOW)
        [message] = attempts.place(connection, [Placement(second["id"], "n1", Request(), {"g0": 1})], {}, now=NOW)
        claimed = attempts.claim(connection, message.attempt_id, node="n1", incarnation="i1", at=NOW)

    assert claimed
    assert claimed.rerun
    assert (claimed.rerun.attempt_id, claimed.rerun.patch, claimed.rerun.code) == (attempt, b"a patch", CODE)
    assert claimed.rerun.gpu_models == (["H100"], ["H100"])


def test_a_rerun_of_a_rerun_repeats_the_run_that_has_the_code(database: Database):
    with database.writing() as connection:
        fleet(connection)
        job = submit(connection)
        first = run(connection, job)
        second = jobs.submit(connection, repeat(connection, job).wish, job_id="again", actor=ANN, now=NOW)
        run(connection, second["id"], shared={**SHARED, "code": {**CODE, "root": "/home/levare/jobs/again/code"}})

        assert repeat(connection, second["id"]).attempt == first


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ({"untracked": 2, "untracked_names": ["a.py", "b/"]}, ("untracked", "a.py, b/")),
        ({"patch_kept": False, "diff_bytes": 300000}, ("code", "300000 bytes")),
        ({"submodules": True}, ("code", "submodules")),
    ],
)
def test_what_cannot_be_restored_is_said_and_strictly_refused(
    database: Database, code: dict[str, Any], told: tuple[str, str]
):
    with database.writing() as connection:
        fleet(connection)
        job = submit(connection)
        run(connection, job, shared={**SHARED, "code": {**CODE, **code}})
        found = repeat(connection, job)

    [missing] = found.missing
    assert missing.what == told[0]
    assert told[1] in missing.why
    with pytest.raises(Conflict, match="cannot be repeated exactly") as refused:
        found.refuse_missing()
    assert [fault.field for fault in refused.value.faults] == [told[0]]


def test_what_was_never_pinned_is_said(database: Database):
    with database.writing() as connection:
        fleet(connection)
        new, plain = submit(connection), submit(connection, env={})
        run(connection, plain, shared={"missing": [{"what": "code", "why": "No git repository holds /x."}]}, patch=None)

        assert what(repeat(connection, new)) == ["attempt"]
        assert what(repeat(connection, plain)) == ["code", "seed", "data"]
        assert not repeat(connection, plain).restores_code
        assert repeat(connection, plain, pinned=False).wish.rerun is None
        with pytest.raises(NotFound, match="has no attempt, so nothing is pinned"):
            pinned.of_job(connection, new, None)


def test_the_differences_of_two_runs_are_told_with_what_is_not_known(database: Database):
    with database.writing() as connection:
        fleet(connection)
        one, other = submit(connection), submit(connection, env={"LEVARE_SEED": "8"}, parameters={"lr": 0.2})
        run(connection, one)
        run(connection, other, shared={**SHARED, "code": {**CODE, "commit": "ffff"}, "environment": {"TZ": "CET"}})
        found = pinned.between(connection, (one, None), (other, 1))

    told = {(each["kind"], each["name"]): (each["before"], each["after"]) for each in found["changes"]}
    assert told["code", "commit"] == ("3f2a9c1d0b", "ffff")
    assert told["seed", "LEVARE_SEED"] == ("7", "8")
    assert told["configuration", "lr"] == (None, "0.2")
    assert told["environment", "TZ"] == ("UTC", "CET")
    assert told["data", "id"] == ("imagenet@v3", None)
    assert [each["what"] for each in found["after"]["missing"]] == ["data"]
