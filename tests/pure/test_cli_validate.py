"""`levare validate` and `levare schema`: what they print, by which code they exit, and that they need no server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from levare.cli import levare

FLEET = Path(__file__).parents[2] / "examples" / "fleet" / "levare.yaml"
WRONG = """version: 1
jobs:
  digits:
    command: [python, train.py]
    gpsu: 2
schedules:
  nightly: {every: 1h, job: digit}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run: an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(levare, arguments, **options)


def test_a_valid_manifest_is_counted(place: Path):
    (place / "levare.yaml").write_text(FLEET.read_text())

    done = run("validate")

    assert done.exit_code == 0
    assert "3 teams, 2 pools, 1 job, 1 pipeline, 6 schedules, 4 triggers, 8 alert rules, 2 channels" in done.stdout
    assert "for staging, production." in done.stdout


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_an_environment_of_it_is_valid_too(environment: str):
    assert run("validate", str(FLEET), "--env", environment).exit_code == 0


def test_every_problem_is_shown_with_its_line_as_compilers_do(place: Path):
    (place / "levare.yaml").write_text(WRONG)

    done = run("validate")

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "levare.yaml:5:5: error: the job digits has no field gpsu",
        "    5 |     gpsu: 2",
        "            ^^^^",
        next(line for line in done.stderr.splitlines() if "= allowed: one of command, name, team" in line),
        "      = hint: did you mean gpus?",
        "levare.yaml:7:29: error: there is no job digit",
        "    7 |   nightly: {every: 1h, job: digit}",
        "                                    ^^^^^",
        "      = allowed: one of digits",
        "      = hint: did you mean digits?",
        "2 problems.",
    ]


def test_a_problem_far_out_in_a_long_line_is_shown_with_what_is_around_it(place: Path):
    (place / "levare.yaml").write_text(f"version: 1\njobs: {{a: {{command: [{'x, ' * 200}], gpus: two}}}}\n")

    lines = run("validate").stderr.splitlines()

    assert lines[1].rindex("two") == lines[2].index("^")
    assert all(len(line) < 180 for line in lines[:3])


def test_problems_cannot_steer_a_terminal(place: Path):
    (place / "levare.yaml").write_text('version: 1\nteams: {"\\e]0;x\\a": {}}\n')

    assert "\x1b" not in run("validate").stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_secret_that_stands_there_is_refused_and_not_repeated(place: Path, options: list[str]):
    (place / "levare.yaml").write_text("version: 1\nchannels: {a: {webhook: {url: 'ftp://hunter2', key: hunter3}}}\n")

    done = run("validate", *options)

    assert done.exit_code == 1
    assert "the name of a secret and never the secret itself" in done.output
    assert "hunter" not in done.output


def test_problems_are_json_for_programs(place: Path):
    (place / "levare.yaml").write_text(WRONG)

    done = run("validate", "--json")
    told = json.loads(done.stdout)

    assert (done.exit_code, told["valid"]) == (1, False)
    first = told["problems"][0]
    assert {**first, "limit": None} == {
        "file": "levare.yaml",
        "line": 5,
        "column": 5,
        "text": "    gpsu: 2",
        "message": "the job digits has no field gpsu",
        "limit": None,
        "hint": "did you mean gpus?",
    }


def test_what_is_valid_is_json_too():
    told = json.loads(run("validate", str(FLEET), "--json").stdout)

    assert (told["valid"], told["problems"], told["environments"]) == (True, [], ["staging", "production"])
    assert told["objects"]["schedule"] == 6


def test_what_may_not_be_meant_is_a_warning_and_no_failure(place: Path):
    (place / "levare.yaml").write_text("version: 1\nschedules: {a: {cron: 0 0 13 * FRI, job: {command: [ls]}}}")

    done = run("validate")

    assert done.exit_code == 0
    assert "levare.yaml:2:13: warning: a: It is due on day 13" in done.stderr


def test_variables_come_from_options_before_the_environment(place: Path):
    (place / "levare.yaml").write_text("version: 1\nvariables: {W: 1}\nteams: {a: {weight: '${W}'}}")

    assert run("validate", "--var", "W=0").exit_code == 1
    assert run("validate", env={"LEVARE_VAR_W": "0"}).exit_code == 1
    assert run("validate", "--var", "W=2", env={"LEVARE_VAR_W": "0"}).exit_code == 0
    assert "no variable X is declared" in run("validate", env={"LEVARE_VAR_X": "1"}).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "There is no levare.yaml here; name a file or a folder."),
        (["absent.yaml"], "'absent.yaml' does not exist"),
        (["--var", "GPUS"], "is not a variable and its value such as GPUS=4"),
        (["--envs", "a"], "No such option"),
    ],
)
def test_misuse_exits_with_2(arguments: list[str], said: str):
    done = run("validate", *arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_folder_without_a_manifest_is_told(place: Path):
    done = run("validate", str(place))

    assert done.exit_code == 1
    assert "holds no file that ends in .yaml or .yml" in done.stderr


def test_the_schema_is_one_document():
    assert json.loads(run("schema").stdout)["title"] == "levare.yaml"


def test_without_the_extra_it_says_what_to_install(place: Path):
    (place / "levare.yaml").write_text("version: 1")
    code = "import sys; sys.modules['pydantic'] = None; from levare.cli import levare; levare.main(['validate'])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "Reading manifests needs pydantic, which is not installed." in done.stderr
    assert "pip install 'levare[manifest]'" in done.stderr


def test_neither_command_imports_the_server_side():
    code = (
        "import sys; from levare.cli import levare\n"
        f"try: levare.main(['validate', {str(FLEET)!r}])\n"
        "except SystemExit: print(*sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"sqlalchemy", "fastapi", "celery", "redis", "httpx"} & set(done.stdout.split())
