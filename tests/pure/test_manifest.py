"""What a manifest means: units, variables, environments, templates, several files; and what is said besides."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from levare.errors import InvalidRequest
from levare.manifest import InvalidManifest, Manifest, Problem, check, read, write
from levare.model import Declared

NOW = datetime(2030, 6, 1, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "levare.yaml"


def read_text(file: Path, text: str, **options: Any) -> Manifest:
    file.write_text(f"version: 1\n{text}")
    return read([file], **options)


def documents(manifest: Manifest) -> dict[str, Any]:
    return {each.name: each.document for each in manifest.objects}


def problems(file: Path, text: str, **options: Any) -> list[Problem]:
    with pytest.raises(InvalidManifest) as caught:
        read_text(file, text, **options)
    return list(caught.value.problems)


def test_nothing_but_a_version_declares_nothing(file: Path):
    assert read_text(file, "").objects == ()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("timeout: 2h", {"timeout_seconds": 7200}),
        ("timeout: 1d12h", {"timeout_seconds": 129600}),
        ("timeout: 90", {"timeout_seconds": 90}),
        ("timeout_seconds: 90", {"timeout_seconds": 90}),
        ("memory: 16GiB", {"memory_mib": 16384}),
        ("memory: 1.5G", {"memory_mib": 1536}),
        ("gpu_memory: 512MiB", {"gpu_memory_mib": 512}),
        ("timeout: null", {}),
        ("gpus: 2.0", {"gpus": 2}),
        ("gpus: 0x10", {"gpus": 16}),
        ("cpus: 1", {}),
        ("on_lost: keep", {}),
        ("command: &c [ls]", {}),
    ],
)
def test_values_may_have_units_and_what_is_as_usual_is_not_kept(file: Path, written: str, kept: dict[str, Any]):
    command = "" if "command" in written else "command: [ls], "

    found = documents(read_text(file, f"jobs: {{a: {{{command}{written}}}}}"))

    assert found == {"a": {"command": ["ls"], **kept}}


def test_units_are_read_in_parts_of_parts_too(file: Path):
    text = """
teams: {vision: {quota: {gpu_hours: 5, period: 7d}, projects: {a: {period: 1d}}}}
alerts: {hang: {when: {hang: {least: 5m, most: 1h}}}}
pipelines: {p: {jobs: [{step: a, command: [ls], timeout: 1m}]}}
"""
    found = documents(read_text(file, text))

    assert found["vision"]["quota"] == {"gpu_hours": 5, "period_seconds": 604800}
    assert found["vision"]["projects"] == {"a": {"period_seconds": 86400}}
    assert found["hang"] == {"when": {"hang": {"least_seconds": 300, "most_seconds": 3600}}}
    assert found["p"]["jobs"][0]["timeout_seconds"] == 60


def test_texts_stay_texts_as_yaml_1_2_has_them(file: Path):
    env = "{A: yes, B: 12:30:45, C: 2030-01-01, D: '5', E: \"\\u00e9\", F: !!str 7}"

    found = documents(read_text(file, f"jobs: {{a: {{command: [ls], env: {env}}}}}"))

    assert found["a"]["env"] == {"A": "yes", "B": "12:30:45", "C": "2030-01-01", "D": "5", "E": "é", "F": "7"}


def test_a_url_needs_no_quotes(file: Path):
    found = documents(read_text(file, "channels: {ops: {webhook: {url: https://hooks.example.org/a}}}"))

    assert found["ops"] == {"webhook": {"url": "https://hooks.example.org/a"}}


def test_an_alias_stands_for_the_same(file: Path):
    found = documents(read_text(file, "teams: {a: &usual {weight: 2}, b: *usual}"))

    assert found["a"] == found["b"] == {"weight": 2.0}


VARIABLES = """
variables:
  GPUS: 2
  DATA: {default: /data, description: Where the data lie.}
  SIZE: {default: small, choices: [small, large]}
jobs:
  a: {command: [ls, "${DATA}/x", "$${HOME}", "${SIZE}-${GPUS}"], gpus: "${GPUS}", cwd: "${DATA}"}
"""


def test_a_variable_has_its_default_and_keeps_its_type(file: Path):
    found = documents(read_text(file, VARIABLES))["a"]

    assert found == {"command": ["ls", "/data/x", "${HOME}", "small-2"], "gpus": 2, "cwd": "/data"}


def test_a_variable_has_the_value_that_is_given(file: Path):
    found = documents(read_text(file, VARIABLES, variables={"GPUS": "4", "DATA": "/other", "SIZE": "large"}))["a"]

    assert found == {"command": ["ls", "/other/x", "${HOME}", "large-4"], "gpus": 4, "cwd": "/other"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("GPUS", "many", "must be a whole number, and is 'many'"),
        ("SIZE", "huge", "must be one of small, large, and is 'huge'"),
        ("GPU", "1", "no variable GPU is declared; did you mean GPUS?"),
    ],
)
def test_a_value_that_a_variable_cannot_have_is_refused(file: Path, name: str, value: str, message: str):
    [problem] = problems(file, VARIABLES, variables={name: value})

    assert message in problem.sentence
    assert str(problem.place) == f"--var {name}"


def test_a_value_cannot_become_anything_but_a_text(file: Path):
    text = 'variables: {A: a}\njobs: {a: {command: [echo, "${A}"]}}'

    found = documents(read_text(file, text, variables={"A": "], gpus: 8, x: ${A} {b} *c"}))["a"]

    assert found == {"command": ["echo", "], gpus: 8, x: ${A} {b} *c"]}


ENVIRONMENTS = """
variables: {GPUS: 4}
teams: {vision: {weight: 2, quota: {gpus: 8, running: 4}}}
schedules:
  nightly: {cron: 0 3 * * *, job: {command: [ls], gpus: "${GPUS}", timeout: 2h}}
  hourly: {cron: 0 * * * *, job: {command: [ls]}}
environments:
  staging:
    variables: {GPUS: 1}
    teams: {vision: {quota: {running: null}}}
    schedules:
      nightly: {cron: null, every: 6h, job: {timeout_seconds: 60}}
      hourly: null
  production: {}
"""


def test_without_an_environment_none_counts(file: Path):
    found = read_text(file, ENVIRONMENTS)

    assert found.environments == ("staging", "production")
    assert documents(found)["nightly"] == {
        "cron": "0 3 * * *",
        "job": {"command": ["ls"], "gpus": 4, "timeout_seconds": 7200},
    }
    assert read_text(file, ENVIRONMENTS, environment="production").objects == found.objects


def test_an_environment_is_laid_over_what_holds_for_all(file: Path):
    found = documents(read_text(file, ENVIRONMENTS, environment="staging"))

    assert found == {
        "vision": {"weight": 2.0, "quota": {"gpus": 8}},
        "nightly": {"every_seconds": 21600, "job": {"command": ["ls"], "gpus": 1, "timeout_seconds": 60}},
    }


def test_an_unknown_environment_is_refused(file: Path):
    [problem] = problems(file, ENVIRONMENTS, environment="stagin")

    assert problem.sentence == "there is no environment stagin; did you mean staging?"


TEMPLATES = """
jobs:
  digits:
    description: Of a template only.
    parameters: {epochs: 10, seed: {type: integer}, verbose: false}
    command: [python, "{epochs}.py", --epochs, "{epochs}", "{seed}{{x}}", "{verbose}"]
    team: vision
"""


def test_a_template_is_filled_with_its_parameters(file: Path):
    schedule = "schedules: {nightly: {every: 1h, job: digits, parameters: {seed: 7}}}"

    found = documents(read_text(file, TEMPLATES + schedule))["nightly"]

    command = ["python", "10.py", "--epochs", "10", "7{x}", "false"]
    assert found["job"] == {"command": command, "name": "digits", "team": "vision"}
    assert found["parameters"] == {"epochs": 10, "seed": 7, "verbose": False}


def test_a_parameter_is_one_argument_whatever_is_in_it(file: Path):
    text = 'jobs: {t: {parameters: {a: x}, command: [echo, "{a}"]}}\n'
    schedule = "schedules: {s: {every: 1h, job: t, parameters: {a: '; rm -rf / {a} $(x) ${{y}}'}}}"

    found = documents(read_text(file, text + schedule.replace("${{y}}", "$${y}")))["s"]

    assert found["job"]["command"] == ["echo", "; rm -rf / {a} $(x) ${y}"]


def test_an_array_in_a_template_fills_its_own_names_later(file: Path):
    text = """
jobs: {t: {parameters: {data: "{x}"}, command: [a, "{data}", "{seed}", "{index}"], array: {grid: {seed: [1, 2]}}}}
schedules: {s: {every: 1h, job: t}}
"""
    found = documents(read_text(file, text))["s"]

    assert found["job"]["command"] == ["a", "{{x}}", "{seed}", "{index}"]


def test_a_trigger_takes_parameters_from_its_event_into_the_environment_only(file: Path):
    text = """
jobs: {t: {parameters: {data: , epochs: 3}, command: [a, "{epochs}"]}}
triggers: {new: {when: {event: {type: x}}, job: t, parameters: {data: {from: data.path}}}}
"""
    found = documents(read_text(file, text))["new"]

    assert found["job"]["command"] == ["a", "3"]
    assert found["parameters"] == {"epochs": 3, "data": {"from": "data.path"}}


def test_a_pipeline_of_a_template_is_filled_in_all_its_steps(file: Path):
    text = """
pipelines: {p: {parameters: {n: 1}, jobs: [{step: a, command: [x, "{n}"]}, {step: b, command: [y, "{n}"], needs: [a]}]}}
schedules: {s: {every: 1h, pipeline: p, parameters: {n: 2}}}
"""
    found = documents(read_text(file, text))["s"]

    assert [step["command"] for step in found["pipeline"]["jobs"]] == [["x", "2"], ["y", "2"]]
    assert found["pipeline"]["name"] == "p"


def test_what_is_written_names_the_template_again(file: Path):
    schedule = "schedules: {nightly: {every: 1h, job: digits, parameters: {seed: 7}}}"

    text = write(read_text(file, TEMPLATES + schedule).objects)

    assert "    job: digits\n" in text
    assert "    parameters: {seed: 7}\n" in text
    assert text.startswith("# yaml-language-server: $schema=")


def test_a_job_that_only_looks_like_a_template_is_written_as_it_is(file: Path):
    schedule = "schedules: {nightly: {every: 1h, job: {command: [python, train.py], team: vision}}}"

    objects = read_text(file, TEMPLATES + schedule).objects
    file.write_text(write(objects))

    assert read([file]).objects == objects


def test_several_files_are_one_manifest(tmp_path: Path):
    (tmp_path / "teams").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.yaml").write_text("no manifest")
    (tmp_path / "teams" / "vision.yml").write_text("version: 1\nteams: {vision: {}}")
    (tmp_path / "speech.yaml").write_text("version: 1\nteams: {speech: {}}\nschedules: {a: {every: 1h, job: t}}")
    (tmp_path / "jobs.yaml").write_text("version: 1\njobs: {t: {command: [ls], team: vision}}")
    (tmp_path / "notes.txt").write_text("no manifest")

    found = read([tmp_path])

    assert [(each.kind, each.name) for each in found.objects] == [
        ("team", "speech"),
        ("team", "vision"),
        ("job", "t"),
        ("schedule", "a"),
    ]
    assert len(found.files) == 3


def test_a_name_in_two_files_is_told_with_both_places(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("version: 1\nteams:\n  vision: {}")

    with pytest.raises(InvalidManifest, match=r"b.yaml:3:3: vision is said twice, first at .*a.yaml:3:3"):
        read([tmp_path])


def test_a_folder_without_manifests_is_told(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="holds no file"):
        read([tmp_path])


def test_all_problems_are_told_at_once_by_file_and_line(tmp_path: Path):
    (tmp_path / "b.yaml").write_text(
        "version: 1\nteams: {a: {wieght: 1}}\njobs: {a: {command: [ls], gpus: x, cpus: 0}}"
    )
    (tmp_path / "a.yaml").write_text("version: 1\nteams: [")

    with pytest.raises(InvalidManifest) as caught:
        read([tmp_path])

    places = [(Path(each.place.file).name, each.place.line) for each in caught.value.problems]
    assert places == [("a.yaml", 2), ("b.yaml", 2), ("b.yaml", 3), ("b.yaml", 3)]
    assert [fault.limit for fault in caught.value.faults][2:] == ["a whole number", "at least 1"]


def test_what_follows_from_a_wrong_template_is_not_told_of_each_that_names_it(file: Path):
    text = "jobs: {t: {command: [ls], gpus: x}}\nschedules: {a: {every: 1h, job: t}, b: {cron: 0 25 * * *, job: t}}"

    found = problems(file, text)

    assert [each.place.line for each in found] == [2, 3]
    assert "gpus must be" in found[0].message
    assert "'25'" in found[1].message


def test_an_undeclared_team_and_odd_times_are_doubted_and_allowed(file: Path):
    text = """version: 1
teams: {vision: {}}
jobs: {t: {command: [ls], team: visoin}}
schedules: {a: {cron: 0 0 13 * FRI, job: t}}
"""
    file.write_text(text)

    doubts = check([file], now=NOW).warnings

    assert [(each.place.line, each.hint) for each in doubts] == [(3, "did you mean vision?"), (4, None)]
    assert "the team visoin is not declared" in doubts[0].message
    assert "either is enough" in doubts[1].message


def test_a_schedule_whose_time_has_passed_is_doubted_and_allowed(file: Path):
    file.write_text("version: 1\nschedules: {a: {at: '2025-01-01T00:00:00Z', job: {command: [ls]}}}")

    [doubt] = check([file], now=NOW).warnings

    assert "its only time has passed" in doubt.message


def test_each_environment_is_checked_where_none_is_named(file: Path):
    others = "environments: {x: {teams: {a: {weight: 0}}}, y: {teams: {a: {wait: 1}}}}"
    file.write_text(f"version: 1\nteams: {{a: {{}}}}\n{others}")

    with pytest.raises(InvalidManifest) as caught:
        check([file], now=NOW)

    assert len(caught.value.problems) == 2


def test_a_variable_may_have_its_values_from_environments_alone(file: Path):
    file.write_text(
        "version: 1\nvariables: {W: {type: integer}}\nteams: {a: {weight: '${W}'}}\n"
        "environments: {x: {variables: {W: 3}}}"
    )

    declared = (Declared("team", "a", {"weight": 3.0}),)
    assert check([file], now=NOW).objects == read([file], environment="x").objects == declared
    with pytest.raises(InvalidManifest, match="W has no value"):
        read([file])


def test_a_job_may_be_for_what_a_pool_does_not_tell(file: Path):
    text = """
pools:
  any: {workers: 1}
  big: {workers: 1, offers: {gpus: 4, cpus: 8}, labels: {tier: spot}}
jobs:
  a: {command: [ls], gpus: 8, gpu_model: H100, require: {disk: nvme}, memory: 1TiB}
  b: {command: [ls], require: {pool: big, tier: spot}, gpus: 4, cpus: 8}
"""
    assert len(read_text(file, text).objects) == 4


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ("gpus: 5", "gpus"),
        ("cpus: 9", "cpus"),
        ("require: {tier: steady}", "require"),
        ("avoid: {tier: spot}", "avoid"),
    ],
)
def test_a_job_that_no_pool_could_run_is_told_where_it_asks_for_too_much(file: Path, job: str, field: str):
    pool = "{workers: 1, offers: {gpus: 4, cpus: 8}, labels: {tier: spot}}"
    text = f"pools: {{big: {pool}}}\njobs: {{a: {{command: [ls], {job}}}}}"

    [problem] = problems(file, text)

    assert "no pool could ever run this" in problem.message
    assert problem.place.text[: problem.place.column - 1].endswith(f"{field}: ")
