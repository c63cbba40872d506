"""What was measured, over the API: from Redis, from SQL, and for Prometheus; on one served API."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import fakeredis
import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from redis import Redis
from ruamel.yaml import YAML
from sqlalchemy import Connection, insert

from app.gauges import DCGM
from beat.leader import Leader
from beat.meter import Meter
from levare.model import Placement, Request, counters
from levare.model.sampled import Bucket, Spread, begin_of
from levare.pulse import Pulse
from levare.store import attempts, samples, tables
from levare.store.attempts import Outcome
from levare.store.ids import new_id
from tests.end_to_end.serving import NOON, Api, refused, serving
from worker.probe.simulated import Simulated
from worker.probe.tracked import Tracked

ROOT = Path(__file__).parents[2]
NODE = dict.fromkeys(counters.NODE, 1.0) | {
    "cpu_percent": 40.0,
    "cpu7_percent": 90.0,
    "claims_refused": 2.0,
    **{f"{name}:/data": 12.5 for name in counters.MOUNT},
}


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, make_database_url: Callable[[str], str], redis_url: str) -> Any:
    """With a node of two GPUs, a job on one of them, and a beat that leads."""
    with serving(tmp_path_factory.mktemp("api"), make_database_url("sqlite"), redis_url) as api:
        api.join()
        job = api.submit(gpus=1)
        with api.database.writing() as connection:
            placed = Placement(job, "n1", Request(gpus=1), {"n1-0": 81920})
            [message] = attempts.place(connection, [placed], {}, now=datetime.now(UTC))
            assert attempts.claim(connection, message.attempt_id, node="n1", incarnation="i1", at=NOON)
        pulse, leader = Pulse(redis_url), Leader(api.database)
        assert leader.leads()
        readings = Simulated("n1", "2x80GiB").readings([Tracked(message.attempt_id, 1, None, {"SIM-n1-0": 81920})])
        gpus = {f"gpu{each.device.index}_{name}": value for each in readings for name, value in each.counters.items()}
        assert pulse.beat("n1", {**NODE, **gpus}, {message.attempt_id: {"memory_mib": 100.0}})
        meter = Meter(redis_url, leader.holds)
        with meter.ticking():
            meter.sent(3)
        assert pulse.tell_beat(meter.told())
        yield api, job, message.attempt_id
        pulse.close()


@pytest.fixture(scope="module")
def api(served: tuple[Api, str, str]) -> Api:
    return served[0]


@pytest.fixture(scope="module")
def known(api: Api, redis_url: str) -> float:
    """
    A node that SQL knows of until two minutes ago, and Redis of the seconds since, and of ten before; the last second.

    Its counter is 10 in SQL's coarsest tier, 20 in its finest, and 30 in Redis.
    """
    now = datetime.now(UTC).timestamp()
    quarter, told = begin_of(now - 120, 900), begin_of(now - 120, 10)
    coarse = [Bucket(quarter - n * 900, 900, 900, {"cpu_percent": Spread(10, 5, 50)}) for n in range(1, 5)]
    fine = [Bucket(at, 10, 10, {"cpu_percent": Spread(20, 20, 20)}) for at in range(quarter, told, 10)]
    api.join("n2")
    with api.database.writing() as connection:
        samples.write(connection, [samples.pack("node", "n2", bucket) for bucket in [*coarse, *fine]])
    seconds = range(told - 10, int(now))
    with Redis.from_url(redis_url) as redis:
        for second in seconds:
            redis.xadd("levare:samples:node:n2", {"cpu_percent": 30}, id=f"{second}500-0")
        redis.expire("levare:samples:node:n2", 3600)
    return float(seconds[-1])


def of_n2(api: Api, **asked: Any) -> list[dict[str, float]]:
    return api.get("/v1/nodes/n2/samples", **asked)["items"]


def test_plainly_asked_the_seconds_of_redis_are_told(api: Api, known: float):
    items = of_n2(api, limit=5)

    assert [each["at"] for each in items] == [known - n + 0.5 for n in (4, 3, 2, 1, 0)]
    assert items[0].keys() == {"at", "cpu_percent"}


def test_with_a_step_the_past_is_of_sql_and_the_last_minutes_of_redis_without_gap_or_double(api: Api, known: float):
    since = datetime.fromtimestamp(begin_of(known - 900, 900), UTC)

    items = of_n2(api, since=since.isoformat(), step=10)

    assert {b["at"] - a["at"] for a, b in pairwise(items)} <= {10, 900}
    assert items[-1]["at"] == begin_of(known, 10)
    assert [each["cpu_percent"] for each in items[-11:-1]] == [30] * 10
    assert 20 in {each["cpu_percent"] for each in items} or items[0]["seconds"] == 900


def test_an_item_of_several_seconds_has_lowest_and_highest_where_they_differ(api: Api, known: float):
    begin = begin_of(known - 120, 900) - 900
    span = {"since": datetime.fromtimestamp(begin, UTC).isoformat(), "until": instant(begin + 900)}

    assert of_n2(api, **span, step=900) == [
        {"at": begin, "seconds": 900, "cpu_percent": 10, "cpu_percent_lowest": 5, "cpu_percent_highest": 50}
    ]


def test_single_seconds_of_long_ago_are_as_fine_as_they_are_kept(api: Api, known: float):
    begin = begin_of(known - 120, 900) - 900

    items = of_n2(api, since=instant(begin), until=instant(known), step=1)

    assert items[0]["seconds"] == 900
    assert items[-1]["seconds"] == 1


def instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def test_a_time_that_is_none_is_refused_with_both_ends(api: Api, known: float):
    answer = api.client.get(f"/v1/nodes/n2/samples?since={instant(known)[:19]}Z&until=2020-01-01T00:00:00Z")

    problem = refused(answer, 422, "contradiction")
    assert problem["errors"][0]["limit"] == "2020-01-01T00:00:00Z"


def test_what_redis_has_forgotten_of_an_attempt_that_ended_is_told_from_sql(served: tuple[Api, str, str]):
    api, job, attempt = served
    ended = datetime.now(UTC) - timedelta(days=3)
    bucket = Bucket(begin_of(ended.timestamp(), 60) - 60, 60, 60, {"memory_mib": Spread(7, 7, 7)})
    earlier = f"{job}-9"
    with api.database.writing() as connection:
        [row] = connection.execute(tables.attempts.select().where(tables.attempts.c.id == attempt)).mappings()
        over = {"id": earlier, "number": 9, "state": "failed", "settled": True, "ended_at": ended, "devices": {}}
        connection.execute(insert(tables.attempts), dict(row) | over)
        samples.write(connection, [samples.pack("attempt", earlier, bucket)])

    items = api.get(f"/v1/jobs/{job}/samples", attempt=9)["items"]

    assert items == [{"at": bucket.at, "seconds": 60, "memory_mib": 7}]
    assert len(api.get(f"/v1/jobs/{job}/samples", attempt=1)["items"]) == 1


def scraped(api: Api, media: str = "text/plain") -> tuple[str, str]:
    answer = api.client.get("/metrics", headers={"Accept": media})
    assert answer.status_code == 200, answer.text
    return answer.headers["content-type"], answer.text


def names(api: Api) -> set[str]:
    """Of all samples that are exposed."""
    return {sample.name for family in prometheus(scraped(api)[1]) for sample in family.samples}


def value(api: Api, name: str, **labels: str) -> float:
    found = [
        sample.value
        for family in prometheus(scraped(api)[1])
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_prometheus_and_openmetrics_can_be_read_by_their_parsers(api: Api):
    kind, text = scraped(api, "application/openmetrics-text; version=1.0.0")

    assert kind.startswith("application/openmetrics-text")
    assert len(list(openmetrics(text))) == len(list(prometheus(scraped(api)[1]))) > 60
    assert scraped(api)[0].startswith("text/plain")


def test_gpus_have_the_names_and_labels_of_dcgm_and_the_job_on_them(served: tuple[Api, str, str]):
    api, job, attempt = served
    held = {"gpu": "0", "UUID": "n1-0", "modelName": "H100", "Hostname": "n1"}

    assert value(api, "DCGM_FI_DEV_FB_USED", **held, job=job, attempt=attempt, team="default") == 65536
    assert value(api, "DCGM_FI_DEV_FB_FREE", **held) == 81920 - 65536
    assert 400 < value(api, "DCGM_FI_DEV_POWER_USAGE", **held) <= 700
    assert value(api, "DCGM_FI_DEV_GPU_UTIL", gpu="1", Hostname="n1", job="") == 0


def test_nodes_jobs_queue_and_conductor_are_told(api: Api):
    assert value(api, "levare_node_cpu_percent", node="n1") == 40
    assert value(api, "levare_node_core_percent", node="n1", core="7") == 90
    assert value(api, "levare_node_mount_free_gib", node="n1", mount="/data") == 12.5
    assert value(api, "levare_claims_refused_total", node="n1") == 2
    assert value(api, "levare_jobs", state="starting", team="default") == 1
    assert value(api, "levare_jobs", state="succeeded") == 0
    assert value(api, "levare_leader_epoch", role="beat") == 1
    assert value(api, "levare_tick_seconds_count") == 1
    assert value(api, "levare_attempts_sent_total") == 3
    assert 0 <= value(api, "levare_heartbeat_age_seconds", node="n1") < 60
    assert value(api, "levare_node_lease_age_seconds", node="n1") > 0
    assert value(api, "levare_starts_last_hour") == 0


def test_the_wait_of_the_last_hours_starts_is_told_by_quantiles(api: Api):
    now = datetime.now(UTC)
    with api.database.writing() as connection:
        jobs = [api_job(connection, now - timedelta(seconds=wait)) for wait in range(100)]
        rows = [{"at": now, "job_id": job, "kind": "started", "node": "n1", "digest": "", "detail": {}} for job in jobs]
        connection.execute(insert(tables.decisions), rows)

    assert value(api, "levare_queue_wait_seconds", quantile="0.5") == pytest.approx(50, abs=1)
    assert value(api, "levare_queue_wait_seconds", quantile="0.99") == pytest.approx(99, abs=1)

    with api.database.writing() as connection:
        connection.execute(tables.decisions.delete())


def api_job(connection: Connection, created_at: datetime) -> str:
    job = new_id()
    [row] = connection.execute(tables.jobs.select().limit(1)).mappings()
    connection.execute(insert(tables.jobs), dict(row) | {"id": job, "state": "succeeded", "created_at": created_at})
    return job


def test_every_metric_of_the_board_and_of_the_guide_is_exposed(api: Api):
    board = json.loads((ROOT / "deploy" / "grafana" / "levare.json").read_text())
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel.get("targets", ()))
    guide = (ROOT / "docs" / "monitoring-samples.md").read_text()
    pattern = r"\b(?:DCGM_FI_\w+|levare_[a-z0-9_]+)\b"
    exposed = names(api) | {"levare_queue_wait_seconds"}  # of which there is one once something has started
    exposed |= {"levare_pool_wanted", "levare_pool_workers"}  # of which there are some once there is a pool

    on_the_board, in_the_guide = set(re.findall(pattern, asked)), set(re.findall(pattern, guide))

    assert len(on_the_board) > 30
    assert on_the_board <= exposed
    assert {name for name in in_the_guide if not name.endswith("_")} - exposed == {
        "levare_node_memory_available_mib"
    } - exposed


def test_every_counter_is_exposed_under_a_name_of_its_own():
    assert len({name for name, _ in DCGM.values()}) == len(DCGM)
    assert DCGM.keys() <= counters.GPU.keys() | {"memory_free_mib"}


def test_the_scrape_file_asks_for_what_there_is(api: Api):
    [job] = YAML(typ="safe").load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]

    assert api.client.get(job["metrics_path"]).status_code == 200
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8420"]}]
    own = {label for family in prometheus(scraped(api)[1]) for sample in family.samples for label in sample.labels}
    assert job["honor_labels"] or not own & {"job", "instance"}


def test_a_token_for_metrics_reads_metrics_and_nothing_else(api: Api):
    secret = api.client.post("/v1/tokens", json={"name": "prometheus", "role": "metrics"}).json()["token"]

    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {secret}"}) as client:
        assert client.get("/metrics").status_code == 200
        refused(client.get("/v1/jobs"), 403, "forbidden")
        refused(client.post("/v1/jobs", json={"command": ["true"]}), 403, "forbidden")
        refused(client.get("/v1/tokens"), 403, "forbidden")
    with httpx.Client(base_url=api.url) as stranger:
        refused(stranger.get("/metrics"), 401, "unauthorized")


def test_without_redis_what_sql_knows_is_told(local_api: Api):
    local_api.join()

    found = names(local_api)

    assert {"levare_jobs", "levare_node_state", "levare_gpu_held"} <= found
    assert not {name for name in found if name.startswith(("DCGM", "levare_tick"))}


def test_a_dossier_has_from_sql_what_redis_has_no_more(api: Api):
    api.join("n1")
    job_id = api.submit("false")
    attempt = api.start(job_id)
    ended, spread = datetime.now(UTC) - timedelta(hours=1), Spread(20, 10, 70)
    last = begin_of(ended.timestamp(), 10)
    with api.database.writing() as connection:
        assert attempts.finish(connection, attempt, Outcome("failed", "Code 1.", 1, ended_at=ended, failure="unknown"))
        measured = [Bucket(last - before, 10, 10, {"memory_mib": spread}) for before in (0, 300, 900)]
        samples.write(connection, [samples.pack("attempt", attempt, bucket) for bucket in measured])

    told = api.get(f"/v1/jobs/{job_id}/failure")["samples"]

    assert [(each["at"], each["memory_mib"], each["memory_mib_highest"]) for each in told] == [
        (last - 300, 20, 70),
        (last, 20, 70),
    ]
