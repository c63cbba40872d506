"""Pools and machines over HTTP: what is taken, what is refused, and what a machine's token opens."""

from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from app.machines import _given, _refuse_in_public
from levare.errors import Conflict, Forbidden
from levare.settings import load
from levare.store.tables_pools import pool_workers
from tests.end_to_end.serving import NOON, Api, refused
from tests.fleet import eventually

SAYS = {"version": "0.1.0", "labels": {"zone": "a"}, "cpus": 16, "memory_mib": 65536}
OFFERS = {"cpus": 4, "simulated_gpus": "4x80GiB"}


def join(api: Api, name: str = "atlas") -> httpx.Client:
    """A client with the token of a machine that has just joined."""
    made = api.client.post("/v1/nodes/invitations", json={})
    assert made.status_code == 201, made.text
    answer = httpx.post(f"{api.url}/v1/nodes/join", json={"code": made.json()["code"], "name": name})
    assert answer.status_code == 201, answer.text
    assert answer.json()["machine"] == name
    return httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {answer.json()['token']}"})


def test_a_pool_is_set_shown_and_removed(api: Api):
    put = api.client.put("/v1/pools/small", json={"workers": 2, "offers": OFFERS, "price": 3})

    assert put.status_code == 200, put.text
    found = api.get("/v1/pools/small")
    assert found["definition"] == {
        "workers": 2,
        "select": {},
        "offers": {"cpus": 4, "gpus": 0, "simulated_gpus": "4x80GiB"},
        "labels": {},
        "price": 3.0,
        "zone": "UTC",
        "description": "",
    }
    assert (found["wanted"], found["workers"]) == (0, [])
    assert api.client.put("/v1/pools/small", json=found["definition"]).json()["revision"] == found["revision"]
    assert [each["name"] for each in api.get("/v1/pools")["items"]] == ["small"]
    assert api.client.delete("/v1/pools/small").status_code == 200
    refused(api.client.get("/v1/pools/small"), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "invalid-request", "workers"),
        ({"workers": -1}, "invalid-request", "workers"),
        ({"workers": "many"}, "invalid-request", "workers"),
        ({"workers": {"max": 2, "mni": 1}}, "invalid-request", "workers.mni"),
        ({"workers": {"max": 0}}, "invalid-request", "workers.max"),
        ({"workers": 1, "ofers": {}}, "invalid-request", "ofers"),
        ({"workers": {"min": 3, "max": 2}}, "contradiction", "workers.min"),
        ({"workers": 1, "offers": {"gpus": 1, "simulated_gpus": "1x8GiB"}}, "contradiction", "offers.gpus"),
        ({"workers": 1, "offers": {"simulated_gpus": "80GiB"}}, "invalid-request", "offers.simulated_gpus"),
        ({"workers": 1, "labels": {"pool": "x"}}, "invalid-request", "labels"),
        ({"workers": 1, "zone": "Europe/Berlin2"}, "invalid-schedule", "zone"),
        ({"workers": 1, "calendar": {"windows": ["25:00-26:00"]}}, "invalid-schedule", "calendar.windows"),
    ],
)
def test_what_is_no_pool_is_refused_with_its_place(refusing_api: Api, body: dict[str, Any], code: str, field: str):
    problem = refused(refusing_api.client.put("/v1/pools/p", json=body), 422, code)

    assert [each["field"] for each in problem["errors"]] == [field]


def test_a_name_that_would_make_no_node_is_refused(refusing_api: Api):
    answer = refusing_api.client.put("/v1/pools/Small_1", json={"workers": 1})

    assert "small letters, digits and inner hyphens" in refused(answer, 422, "invalid-request")["detail"]


def test_a_machine_joins_by_a_code_once_and_hears_what_it_is_to_run(local_api: Api):
    with join(local_api) as machine:
        heard = machine.post("/v1/machines/atlas/poll", json=SAYS)

        assert heard.json() == {"workers": []}
        found = local_api.get("/v1/machines/atlas")
        assert (found["state"], found["cpus"], found["labels"]) == ("ready", 16, {"zone": "a"})
        assert local_api.count("invitations") == 0


def test_the_token_of_a_machine_opens_nothing_else(local_api: Api):
    with join(local_api) as machine:
        for method, path in (("GET", "/v1/jobs"), ("GET", "/v1/machines"), ("POST", "/v1/jobs"), ("GET", "/metrics")):
            answer = machine.request(method, path, json={"command": ["true"]} if method == "POST" else None)
            refused(answer, 403, "forbidden")
        join(local_api, "other").close()
        refused(machine.post("/v1/machines/other/poll", json=SAYS), 403, "forbidden")

        assert local_api.client.delete("/v1/machines/atlas").status_code == 200
        eventually(lambda: machine.post("/v1/machines/atlas/poll", json=SAYS).status_code == 401)


def test_a_code_is_shown_once_and_a_wrong_one_says_what_to_do(local_api: Api):
    answer = httpx.post(f"{local_api.url}/v1/nodes/join", json={"code": "lvj_wrong", "name": "atlas"})

    assert "levare nodes invite" in refused(answer, 403, "forbidden")["next_step"]
    dry = local_api.client.post("/v1/nodes/invitations", params={"dry_run": "true"}, json={"machine": "atlas"})
    assert (dry.status_code, dry.json()["code"], local_api.count("invitations")) == (200, None, 0)


def test_what_is_secret_goes_over_https_or_private_networks_only():
    with pytest.raises(Forbidden, match=r"does not go over HTTP to 8\.8\.8\.8"):
        _refuse_in_public("http", "8.8.8.8")
    for scheme, source in (("https", "8.8.8.8"), ("http", "127.0.0.1"), ("http", "10.1.2.3"), ("http", "fd00::1")):
        _refuse_in_public(scheme, source)

    local = load({"LEVARE_DATABASE": "postgresql://u:p@localhost/l", "LEVARE_REDIS": "redis://:p@atlas:6379/0"})
    with pytest.raises(Conflict, match=r"from its own machine only \(localhost\)") as raised:
        _given(local, is_here=False)
    assert "LEVARE_NODE_DATABASE" in raised.value.next_step
    named = {"LEVARE_NODE_DATABASE": "postgresql://u:p@atlas/l", "LEVARE_REDIS": "redis://:p@atlas:6379/0"}
    assert _given(load(named), is_here=False)["database"] == "postgresql://u:p@atlas/l"


def test_a_node_that_its_pool_lets_go_cannot_be_taken_back(local_api: Api):
    local_api.join("n1")
    row = {"name": "n1", "pool": "p", "machine": "m", "number": 1, "share": {}, "reason": "It wants fewer."}
    with local_api.database.writing() as connection:
        connection.execute(insert(pool_workers).values(**row, state="draining", since=NOON))

    answer = local_api.client.put("/v1/nodes/n1/state", json={"state": "ready"})

    assert "levare pools scale p N" in refused(answer, 409, "conflict")["next_step"]
