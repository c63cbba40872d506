"""`levare schedules`."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pure.scripted import END, Api, a_job, a_problem, a_stream, an_ended_job, levare_run

GUIDE = Path(__file__).parents[2] / "docs" / "schedules.md"
AT, NEXT = "2030-01-01T12:00:00Z", "2030-01-02T12:00:00Z"
NIGHTLY = {"cron": "0 3 * * *", "zone": "Europe/Berlin", "job": {"command": ["python", "train.py"]}}


def a_fire(**other: Any) -> dict[str, Any]:
    fire = {"schedule": "nightly", "due_at": AT, "until": None, "outcome": "run", "reason": None, "job": "k3v9x2m1qa"}
    return fire | {"pipeline": None, "state": "succeeded", "decided_at": AT} | other


def a_schedule(**other: Any) -> dict[str, Any]:
    schedule = {
        "name": "nightly",
        "definition": NIGHTLY,
        "state": "active",
        "due_at": NEXT,
        "fires_at": NEXT,
        "zone": "Europe/Berlin",
        "last": a_fire(),
        "success_percent": 95.0,
        "runs_counted": 20,
        "open_runs": [],
        "open_count": 0,
        "revision": 12,
        "owner": "ada",
        "changed_at": AT,
        "paused_at": None,
        "paused_by": None,
        "paused_reason": None,
    }
    return schedule | other


def a_finding(**other: Any) -> dict[str, Any]:
    finding = {"code": "crowd", "level": "warning", "schedules": ["nightly"], "message": "Too many.", "at": []}
    return finding | other


def a_list(*schedules: dict[str, Any]) -> Api:
    return Api().on("GET /v1/schedules", {"items": list(schedules), "next_cursor": None})


def declaring(**answer: Any) -> Api:
    return Api().on("PUT /v1/schedules/nightly", {"schedule": a_schedule(), "findings": [], **answer})


def test_schedules_are_listed_with_last_next_and_success_rate():
    result = levare_run(a_list(a_schedule(), a_schedule(name="new", last=None, success_percent=None)), "schedules")

    head, first, second = result.stdout.splitlines()
    assert head.split() == ["schedule", "when", "state", "last", "became", "next", "success"]
    assert "0 3 * * * (Europe/Berlin)" in first
    assert first.split()[-8:] == ["2030-01-01", "12:00:00", "succeeded", "2030-01-02", "12:00:00", "95%", "of", "20"]
    assert second.split()[-5:] == ["-", "-", "2030-01-02", "12:00:00", "-"]
    assert json.loads(levare_run(a_list(a_schedule()), "schedules", "--json").stdout) == {"items": [a_schedule()]}
    assert "There is no schedule yet" in levare_run(a_list(), "schedules").stderr


def test_a_schedule_is_shown_with_all_that_bears_on_it():
    definition = {
        "every_seconds": 21600,
        "calendar": {"days": "MON-FRI", "windows": ["22:00-06:00"], "holidays": ["2030-12-25", "2030-12-26"]},
        "misfire": "all",
        "max_lateness_seconds": 7200,
        "overlap": "queue",
        "parameters": {"days": 7},
        "pipeline": {"jobs": [{"step": "a", "command": ["a"]}, {"step": "b", "command": ["b"]}]},
    }
    paused = {"state": "paused", "paused_at": AT, "paused_by": "ada", "paused_reason": "No data."}
    due = {"due_at": NEXT, "local": "2030-01-02T13:00:00+01:00", "fires_at": NEXT}
    api = Api().on("GET /v1/schedules/nightly", a_schedule(definition=definition, **paused))
    api.on("GET /v1/schedules/nightly/fires", {"items": [a_fire()], "next_cursor": None})
    api.on("GET /v1/schedules/nightly/next", {"items": [due]})

    told = levare_run(api, "schedules", "nightly").stdout

    for text in (
        "every 6h00m",
        "MON-FRI, 22:00-06:00, not on 2030-12-25 and 1 more days",
        "make up for all, at most 2h00m late",
        "wait for its end",
        "pipeline of a, b with days=7",
        "by ada: No data.",
        "Wed 2030-01-02 13:00:00 +0100",
        "k3v9x2m1qa",
    ):
        assert text in told
    document = json.loads(levare_run(api, "schedules", "show", "nightly", "--json").stdout)
    assert (document["fires"], document["next"]) == ([a_fire()], [due])


def test_a_schedule_is_set_by_options_and_a_command(tmp_path: Path):
    holidays = tmp_path / "holidays.txt"
    holidays.write_text("# of this year\n2030-12-25  # Christmas\n\n2030-12-26\n")
    api = declaring(findings=[a_finding()])
    options = ["--cron", "0 3 * * *", "--zone", "Europe/Berlin", "--misfire", "all", "--overlap", "forbid"]
    options += ["--jitter", "5m", "--days", "MON-FRI", "--window", "22:00-06:00", "--except", "2030-05-17"]
    options += ["--starts", "2030-01-01T00:00:00Z", "--ends", "2031-01-01T00:00:00Z", "--holidays", str(holidays)]
    options += ["--set", "days=7", "--set", "net=big", "--max-lateness", "2h", "--gpus", "2", "--env", "SEED=1"]

    result = levare_run(api, "schedules", "set", "nightly", *options, "--", "python", "train.py", "--lr", "0.1")

    assert result.exit_code == 0, result.stderr
    sent = api.body()
    job = sent.pop("job")
    assert sent == {
        "cron": "0 3 * * *",
        "zone": "Europe/Berlin",
        "misfire": "all",
        "overlap": "forbid",
        "jitter_seconds": 300,
        "max_lateness_seconds": 7200,
        "starts": "2030-01-01T00:00:00+00:00",
        "ends": "2031-01-01T00:00:00+00:00",
        "calendar": {
            "days": "MON-FRI",
            "windows": ["22:00-06:00"],
            "except": ["2030-05-17"],
            "holidays": ["2030-12-25", "2030-12-26"],
        },
        "parameters": {"days": 7, "net": "big"},
    }
    assert job["command"] == ["python", "train.py", "--lr", "0.1"]
    assert (job["name"], job["gpus"], job["env"]["SEED"], job["cwd"]) == ("nightly", 2, "1", str(Path.cwd()))
    assert result.stdout.splitlines() == [
        "nightly is set; it runs next at 2030-01-02 12:00:00",
        "warning: nightly (crowd)",
        "  Too many.",
    ]


def test_a_schedule_is_set_from_a_file_in_which_times_stay_as_they_are_written(tmp_path: Path):
    file = tmp_path / "nightly.yaml"
    file.write_text(
        "at: 2030-01-01T12:00:00+01:00\n"
        "calendar: {except: [2030-05-17]}\n"
        "pipeline: {jobs: [{step: a, command: [a], env: {SEED: '1'}}]}\n"
    )
    api = declaring()

    result = levare_run(api, "schedules", "set", "nightly", str(file), "--dry-run")

    assert result.stdout.startswith("nightly would be set")
    sent = api.body()
    assert (sent["at"], sent["calendar"]) == ("2030-01-01T12:00:00+01:00", {"except": ["2030-05-17"]})
    [step] = sent["pipeline"]["jobs"]
    assert (step["step"], step["env"]["SEED"], step["cwd"]) == ("a", "1", str(Path.cwd()))
    assert api.asked[-1].url.query == b"dry_run=true"


def test_a_file_that_cannot_be_read_is_told_with_its_place(tmp_path: Path):
    file = tmp_path / "broken.yaml"
    file.write_text("cron: a\ncron: b\n")

    result = levare_run(Api(), "schedules", "set", "nightly", str(file))

    assert result.exit_code == 1
    assert "line 2" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["a.yaml", "b.yaml"],
        ["nothing.yaml"],
        ["--cron", "@daily"],
        ["--cron", "@daily", "nightly.yaml"],
        ["--cron", "@daily", "--set", "7", "--", "true"],
        ["--every", "soon", "--", "true"],
        ["--cron", "@daily", "--set", "days=7", "--set", "days=30", "--", "true"],
    ],
)
def test_a_schedule_without_times_or_without_work_is_misuse(args: list[str]):
    assert levare_run(Api(), "schedules", "set", "nightly", *args).exit_code == 2


def test_a_schedule_is_paused_resumed_and_removed():
    paused = a_schedule(state="paused", paused_by="ada", paused_reason="No data.")
    api = Api().on("PUT /v1/schedules/nightly/state", paused, a_schedule()).on("DELETE /v1/schedules/nightly", paused)

    said = levare_run(api, "schedules", "pause", "nightly", "--reason", "No data.").stdout
    assert (said, api.body()) == (
        "nightly is paused by ada: No data.\n",
        {"state": "paused", "reason": "No data."},
    )
    assert levare_run(api, "schedules", "resume", "nightly").stdout == (
        "nightly is active; it runs next: 2030-01-02 12:00:00\n"
    )
    assert levare_run(api, "schedules", "remove", "nightly").stdout.startswith("nightly is removed")
    assert json.loads(levare_run(api, "schedules", "remove", "nightly", "--json").stdout) == paused


def test_a_run_prints_its_jobs_and_can_be_followed_to_its_code():
    job = an_ended_job("failed", 3)
    made = {"schedule": "nightly", "pipeline": None, "jobs": [a_job()]}
    api = (
        Api().on("POST /v1/schedules/nightly/run", httpx.Response(201, json=made)).on(f"GET /v1/jobs/{job['id']}", job)
    )
    api.on(f"GET /v1/jobs/{job['id']}/logs", a_stream(END))

    ran = levare_run(api, "schedules", "run", "nightly", "--set", "days=30")
    tried = levare_run(api, "schedules", "run", "nightly", "--dry-run")
    followed = levare_run(api, "schedules", "run", "nightly", "--follow")

    assert ran.stdout == f"{job['id']}\n"
    assert api.body(0) == {"parameters": {"days": 30}}
    assert tried.stdout == "it would run resnet-50\n"
    assert followed.exit_code == 3


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1)])
def test_a_run_of_a_pipeline_succeeds_though_a_step_was_skipped(state: str, code: int):
    skipped = an_ended_job("cancelled", None, attempt=0)
    made = {"schedule": "nightly", "pipeline": "p7d2m9x4ka", "jobs": [skipped]}
    api = Api().on("POST /v1/schedules/nightly/run", httpx.Response(201, json=made))
    api.on(f"GET /v1/jobs/{skipped['id']}", skipped).on("GET /v1/pipelines/p7d2m9x4ka", {"state": state})

    assert levare_run(api, "schedules", "run", "nightly", "--follow").exit_code == code


def test_next_tells_the_times_of_one_or_what_is_next_of_all():
    due = {"due_at": NEXT, "local": "2030-01-02T13:00:00+01:00", "fires_at": NEXT}
    one = {"schedule": "nightly", "zone": "Europe/Berlin", "state": "paused", "items": [due]}
    sooner = a_schedule(name="hourly", fires_at=AT)
    api = a_list(a_schedule(), sooner, a_schedule(name="off", state="paused"))
    api.on("GET /v1/schedules/nightly/next", one)

    told = levare_run(api, "schedules", "next", "nightly", "-n", "3")
    of_all = levare_run(api, "schedules", "next").stdout.splitlines()

    assert "Wed 2030-01-02 13:00:00 +0100" in told.stdout
    assert told.stderr == "nightly is paused: what is due is skipped.\n"
    assert [line.split()[0] for line in of_all] == ["schedule", "hourly", "nightly"]
    assert json.loads(levare_run(api, "schedules", "next", "nightly", "--json").stdout) == one


def test_fires_are_listed_with_their_reasons():
    skipped = a_fire(outcome="skipped", reason="Paused by ada.", job=None, state=None, until=NEXT)
    api = Api().on("GET /v1/schedules/nightly/fires", {"items": [a_fire(), skipped], "next_cursor": None})

    lines = levare_run(api, "schedules", "fires", "nightly", "--outcome", "skipped", "-n", "5").stdout.splitlines()

    assert lines[1].split()[2:] == ["run", "k3v9x2m1qa", "succeeded"]
    assert lines[2].endswith("until 2030-01-02 12:00:00: Paused by ada.")
    assert api.asked[0].url.query == b"outcome=skipped&limit=5"


def test_why_says_what_became_of_a_time_and_what_is_due_around_it():
    why = {"schedule": "nightly", "at": AT, "verdict": "not-due", "message": "Nothing was due then.", "due_at": None}
    why |= {"fire": None, "excluded": [], "before": AT, "after": NEXT, "revision": 12}
    api = Api().on("GET /v1/schedules/nightly/why", why)

    result = levare_run(api, "schedules", "why", "nightly", "--at", AT)

    assert result.stdout == (
        "Nothing was due then.\nIt is due before it at 2030-01-01 12:00:00 and after it at 2030-01-02 12:00:00.\n"
    )
    assert api.asked[0].url.params["at"] == "2030-01-01T12:00:00+00:00"
    assert levare_run(api, "schedules", "why", "nightly").exit_code == 2


@pytest.mark.parametrize(("level", "code"), [("warning", 0), ("error", 1)])
def test_lint_fails_only_for_errors(level: str, code: int):
    api = Api().on("GET /v1/schedules/lint", {"items": [a_finding(level=level)]})

    result = levare_run(api, "schedules", "lint")

    assert (result.exit_code, result.stdout) == (code, f"{level}: nightly (crowd)\n  Too many.\n")
    assert levare_run(api, "schedules", "lint", "--json").exit_code == code
    assert levare_run(Api().on("GET /v1/schedules/n/lint", {"items": []}), "schedules", "lint", "n").stdout == (
        "Nothing to say.\n"
    )


def test_the_calendar_shows_hours_conflicts_and_a_slot():
    start = {"schedule": "nightly", "due_at": AT, "starts_at": AT, "until": None, "count": 1, "gpus": 6.0}
    start |= {"typical_seconds": 3600.0, "promised_seconds": 7200.0, "known": False}
    hour = {"at": AT, "gpus": 6.0, "gpus_at_most": 8.0, "kept": 4.0, "schedules": ["nightly"], "is_conflict": True}
    slot = {"at": NEXT, "until": NEXT, "busy": 0.5}
    found = {"begins": AT, "ends": NEXT, "fleet_gpus": 8, "starts": [start], "starts_left_off": 3, "hours": [hour]}
    api = Api().on("GET /v1/schedules/calendar", found | {"slot": slot}, found | {"slot": None})

    told = levare_run(api, "schedules", "calendar", "--gpus", "2", "--for", "2h").stdout
    nowhere = levare_run(api, "schedules", "calendar", "--gpus", "1", "--for", "2h").stdout

    assert "1h00m?" in told
    assert "and 3 more: --json has them" in told
    assert "####################!  nightly" in told
    assert "The best slot for 2 GPUs for 2h00m begins at 2030-01-02 12:00:00, with 0.5 GPUs held" in told
    assert "There is no room for 1 GPU for 2h00m" in nowhere
    assert levare_run(Api(), "schedules", "calendar", "--gpus", "2").exit_code == 2


def test_revisions_tell_what_was_changed():
    changed = NIGHTLY | {"cron": "0 4 * * *", "overlap": "forbid"}
    times = {"at": AT, "by": "ada", "source": "", "reason": ""}
    revisions = [
        {"number": 3, **times, "before": changed, "after": None},
        {"number": 2, **times, "before": NIGHTLY, "after": changed},
        {"number": 1, **times, "before": None, "after": NIGHTLY},
    ]
    api = Api().on("GET /v1/schedules/nightly/revisions", {"items": revisions})

    lines = levare_run(api, "schedules", "revisions", "nightly").stdout.splitlines()

    assert [line.rpartition("ada")[2].strip() for line in lines[1:]] == ["removed", "cron, overlap", "declared"]


def commands_of_the_guide() -> list[str]:
    return re.findall(r"^\$ levare (.*)$", GUIDE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", commands_of_the_guide())
def test_every_command_of_the_guide_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nightly.yaml").write_text('cron: "@daily"\njob: {command: ["true"]}\n')

    result = levare_run(Api(), *shlex.split(line))

    assert (result.exit_code, result.stderr.partition("/v1/")[0]) == (1, "error: There is nothing at "), result.output


def test_a_schedule_that_is_not_there_is_told_so():
    api = Api().on("GET /v1/schedules/nightly", a_problem("not-found", 404, detail="There is no schedule 'nightly'."))

    assert levare_run(api, "schedules", "nightly").exit_code == 1


def test_the_job_of_a_schedule_says_when_it_was_due():
    job = a_job(state="succeeded", schedule="nightly", due_at=AT)
    api = Api().on(f"GET /v1/jobs/{job['id']}", job).on(f"GET /v1/jobs/{job['id']}/attempts", {"items": []})
    api.on(f"GET /v1/jobs/{job['id']}/metrics", {"items": [], "next_cursor": None, "summary": {}})

    assert "nightly, due 2030-01-01 12:00:00" in levare_run(api, "show", job["id"]).stdout


def test_a_time_that_names_no_zone_is_one_of_the_zone_that_was_said():
    times = ["--at", "2030-07-01T02:30", "--starts", "2030-01-01", "--ends", "2031-01-01T00:00:00Z"]

    made = levare_run(api := declaring(), "schedules", "set", "nightly", *times, "--zone", "Europe/Berlin", "--", "a")
    refused = levare_run(Api(), "schedules", "set", "nightly", *times, "--zone", "Europe/Berln", "--", "a")

    assert made.exit_code == 0, made.stderr
    assert [api.body()[name] for name in ("at", "starts", "ends")] == [
        "2030-07-01T00:30:00+00:00",
        "2029-12-31T23:00:00+00:00",
        "2031-01-01T00:00:00+00:00",
    ]
    assert (refused.exit_code, "no time zone 'Europe/Berln'" in refused.stderr) == (2, True)


def test_what_would_be_ignored_beside_a_file_is_misuse(tmp_path: Path):
    file = tmp_path / "nightly.yaml"
    file.write_text("cron: '@daily'\njob: {command: [a]}\n")

    refused = levare_run(Api(), "schedules", "set", "nightly", str(file), "--zone", "Europe/Berlin", "--gpus", "1")
    taken = levare_run(declaring(), "schedules", "set", "nightly", str(file), "--dry-run", "--json", "-q")

    assert refused.exit_code == 2
    assert "write into it what --gpus, --zone said" in refused.stderr
    assert taken.exit_code == 0, taken.stderr


def test_holidays_that_are_no_text_are_told_with_their_line(tmp_path: Path):
    file = tmp_path / "holidays"
    file.write_bytes(b"2030-12-25\n\xe4\n")

    result = levare_run(Api(), "schedules", "set", "nightly", "--cron", "@daily", "--holidays", str(file), "--", "a")

    assert result.exit_code == 1
    assert "line 2 is not UTF-8" in result.stderr
