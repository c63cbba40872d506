"""The wish to end what was left behind on the GPUs of a node, over HTTP, without any worker."""

from datetime import UTC, datetime

from sqlalchemy import update

from levare.store import nodes, reaping, tables
from levare.store.nodes import Owned
from levare.store.reaping import Orphan
from tests.end_to_end.serving import Api, refused

LEFT = Orphan(12, 50, "job-1", "alice", "python left.py", (0,))
SHOWN = {"pid": 12, "attempt": "job-1", "user": "alice", "command": "python left.py", "gpus": [0]}


def leave_behind(api: Api) -> None:
    """What a worker writes that has found an orphan."""
    api.join()
    with api.database.writing() as connection:
        nodes.set_ownerships(connection, "n1", {"n1-0": Owned("orphan", "It is left.")}, incarnation="i1")
        reaping.set_orphans(connection, "n1", [LEFT], incarnation="i1")


def test_a_node_shows_whose_its_gpus_are(api: Api):
    leave_behind(api)

    shown = [(device["ownership"], device["note"]) for device in api.get("/v1/nodes/n1")["devices"]]

    assert shown == [("orphan", "It is left."), ("free", None)]
    assert api.get("/v1/nodes")["items"][0]["devices"][0]["ownership"] == "orphan"


def test_a_reap_is_a_wish_that_stays_until_the_node_has_carried_it_out(api: Api):
    leave_behind(api)

    tried = api.client.post("/v1/nodes/n1/reap", params={"dry_run": "true"})
    assert (tried.status_code, tried.json()["requested_at"], tried.json()["orphans"]) == (200, None, [SHOWN])
    assert api.get("/v1/nodes/n1/reap")["requested_at"] is None

    asked = api.client.post("/v1/nodes/n1/reap")
    assert (asked.status_code, asked.json()["orphans"]) == (202, [SHOWN])
    requested_at = datetime.fromisoformat(asked.json()["requested_at"])
    assert api.get("/v1/nodes/n1/reap")["requested_at"] == asked.json()["requested_at"]

    with api.database.writing() as connection:
        became, worker = [reaping.Reaped(LEFT, "ended")], reaping.Actor("", "worker")
        reaping.done(
            connection, "n1", became, wished=requested_at, incarnation="i1", actor=worker, now=datetime.now(UTC)
        )
    done = api.get("/v1/nodes/n1/reap")
    assert (done["requested_at"], done["reaped"]) == (None, [SHOWN | {"outcome": "ended"}])


def test_a_reap_without_orphans_changes_nothing(api: Api):
    api.join()
    before = api.count("audit")

    answer = api.client.post("/v1/nodes/n1/reap")

    assert (answer.status_code, answer.json()["requested_at"], answer.json()["orphans"]) == (202, None, [])
    assert api.count("audit") == before


def test_a_reap_of_an_unknown_or_lost_node_is_refused(api: Api):
    refused(api.client.post("/v1/nodes/nope/reap"), 404, "not-found")
    leave_behind(api)
    with api.database.writing() as connection:
        connection.execute(update(tables.nodes).values(state="lost"))

    refused(api.client.post("/v1/nodes/n1/reap"), 409, "conflict")
