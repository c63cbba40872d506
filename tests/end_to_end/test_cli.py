"""The command line as a shell runs it, against a real `python -m app`; beat and worker are played by the test."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from levare.settings import load
from levare.store.engine import Database
from tests.conftest import BACKENDS
from tests.end_to_end.serving import NO_REDIS, Api
from tests.fleet import Fleet, eventually, fleet

LEVARE = (sys.executable, "-c", "from levare.cli import main; main()")


@dataclass
class Shell:
    """A shell of a person on the machine where the API runs."""

    fleet: Fleet
    api: Api
    environment: dict[str, str]

    def levare(self, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LEVARE, *args], env=self.environment | environ, capture_output=True, text=True, timeout=60, check=False
        )

    def succeed(self, *args: str) -> str:
        done = self.levare(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, *args: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen([*LEVARE, *args], env=self.environment, stdout=stdout, stderr=subprocess.PIPE)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@contextmanager
def a_shell(home: Path, database_url: str) -> Iterator[Shell]:
    home.mkdir()
    with fleet(home, LEVARE_REDIS=NO_REDIS, LEVARE_DATABASE=database_url) as processes:
        processes.start("web")
        eventually((home / "address").exists)
        settings = load({"LEVARE_HOME": str(home), "LEVARE_DATABASE": database_url})
        api = Api((home / "address").read_text(), settings, Database(settings.database), processes.client)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
        yield Shell(processes, api, ours | {"LEVARE_HOME": str(home)})
        api.database.dispose()


@pytest.fixture(scope="module", params=BACKENDS)
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_database_url: Callable[[str], str]
) -> Iterator[Shell]:
    """One for all tests that only add to what is there."""
    with a_shell(tmp_path_factory.mktemp("shared") / "home", make_database_url(request.param)) as shell:
        yield shell


@pytest.fixture
def own_shell(tmp_path: Path, database_url: str) -> Iterator[Shell]:
    with a_shell(tmp_path / "home", database_url) as shell:
        yield shell


def a_running_job(shell: Shell, *command: str) -> tuple[str, str]:
    """The ids of a job and of its attempt on node n1."""
    shell.api.join("n1")
    job = shell.succeed("submit", "--", *(command or ("true",))).strip()
    return job, shell.api.start(job)


def test_a_job_is_submitted_listed_shown_explained_and_cancelled(shell: Shell):
    job = shell.succeed("submit", "--name", "resnet", "--gpus", "2", "--", "python", "train.py").strip()

    assert json.loads(shell.succeed("jobs", "--json"))["items"][0]["id"] == job
    assert f"{job}  resnet  waiting" in shell.succeed("jobs", "--name", "resnet", "--state", "waiting")
    assert "No such jobs" in shell.levare("jobs", "--name", "nobody's").stderr
    assert "command    python train.py" in shell.succeed("show", job)
    assert "and asks for 2 GPUs" in shell.succeed("why", job)
    assert "No node" in shell.succeed("why", job)
    assert "nothing yet; it is waiting" in shell.levare("logs", job).stderr
    assert shell.succeed("cancel", job) == f"{job} is being cancelled; it is still waiting\n"
    assert json.loads(shell.succeed("show", job, "--json"))["cancel_requested_at"]


def test_a_job_carries_the_path_and_the_place_of_its_submitter(shell: Shell):
    job = shell.succeed("submit", "--env", "SEED=7", "--", "true").strip()

    found = json.loads(shell.succeed("show", job, "--json"))
    assert found["cwd"] == str(Path.cwd())
    assert found["env"]["PATH"] == os.environ["PATH"]
    assert found["env"]["SEED"] == "7"
    assert not [name for name in found["env"] if name.startswith("LEVARE")]


def test_a_dry_run_leaves_nothing_behind(shell: Shell):
    before = shell.api.count("jobs")

    assert "It would be accepted" in shell.succeed("submit", "--dry-run", "--", "true")
    assert shell.api.count("jobs") == before


def test_rerun_makes_an_equal_job(shell: Shell):
    args = ("--name", "a", "--gpus", "1", "--gpu-memory", "20GiB", "--timeout", "1h", "--env", "SEED=7", "--cwd", "")
    first = shell.succeed("submit", *args, "--", "python", "t.py").strip()
    second = shell.succeed("rerun", first).strip()

    one, two = (json.loads(shell.succeed("show", job, "--json")) for job in (first, second))
    assert first != second
    assert {name for name in one if one[name] != two[name]} - {"reasons"} == {"id", "created_at"}


def test_needs_and_times_block_a_job_until_then(shell: Shell):
    first = shell.succeed("submit", "--", "true").strip()
    second = shell.succeed("submit", "--needs", first, "--at", "+2h", "--", "true").strip()

    assert first in shell.succeed("why", second)
    blocked = json.loads(shell.succeed("jobs", "--state", "blocked", "--json"))["items"]
    assert [job["needs"] for job in blocked if job["id"] == second] == [[first]]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["show", "nojob"], "There is no job 'nojob'"),
        (["submit", "--needs", "nojob", "--", "true"], "nojob"),
        (["submit", "--gpus", "9", "--", "true"], "9"),
        (["submit", "--team", "a team", "--", "true"], "a team"),
        (["drain", "nonode"], "There is no node 'nonode'"),
        (["tokens", "revoke", "nobody"], "nobody"),
    ],
)
def test_a_refusal_names_the_value_and_the_next_step(shell: Shell, args: Sequence[str], told: str):
    shell.api.join("n1")

    done = shell.levare(*args)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert "\nnext: " in done.stderr
    assert "Traceback" not in done.stderr


def test_an_api_that_has_gone_is_said_with_its_address(own_shell: Shell):
    own_shell.fleet.kill("web")

    done = own_shell.levare("jobs")

    assert done.returncode == 1
    assert done.stderr == (
        f"error: Nothing answers at {own_shell.api.url} (connection refused).\nnext: Start it with `levare up`.\n"
    )


def test_a_token_opens_the_api_until_it_is_revoked(shell: Shell):
    secret = shell.succeed("tokens", "create", "laptop").strip()
    elsewhere = {"LEVARE_HOME": "/nonexistent", "LEVARE_URL": shell.api.url}

    assert shell.levare("jobs", **elsewhere, LEVARE_TOKEN=secret).returncode == 0
    assert "LEVARE_TOKEN" in shell.levare("jobs", **elsewhere).stderr
    shell.succeed("tokens", "revoke", "laptop")
    assert "was revoked" in shell.levare("jobs", **elsewhere, LEVARE_TOKEN=secret).stderr


def test_logs_are_byte_for_byte_and_say_what_is_cut(shell: Shell):
    job, attempt = a_running_job(shell)
    shell.api.write(attempt, (0, bytes(range(256))), (1000, b"tail\n"))

    with shell.running("logs", job) as process:
        output, _ = process.communicate(timeout=30)

    assert output == bytes(range(256)) + b"\n[levare: 744 bytes cut]\ntail\n"
    assert shell.succeed("logs", "--tail", "1", job) == "tail\n"


def test_following_ends_with_the_job_and_loses_nothing_while_the_api_restarts(own_shell: Shell, tmp_path: Path):
    job, attempt = a_running_job(own_shell)
    own_shell.api.write(attempt, (0, b"one\n"))
    port = own_shell.api.url.rpartition(":")[2]

    with (tmp_path / "out").open("wb") as out, own_shell.running("logs", "-f", job, stdout=out.fileno()) as process:
        eventually(lambda: (tmp_path / "out").read_bytes() == b"one\n")
        own_shell.fleet.kill("web")
        own_shell.api.write(attempt, (4, b"two\n\xff"))
        own_shell.fleet.start("web", LEVARE_PORT=port)
        eventually(lambda: (tmp_path / "out").read_bytes() == b"one\ntwo\n\xff")
        own_shell.api.write(attempt, (9, b"three\n"))
        own_shell.api.finish(attempt, state="failed", exit_code=3)
        assert process.wait(30) == 0

    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n\xffthree\n"


def test_wait_and_a_followed_submit_exit_with_the_jobs_code(own_shell: Shell):
    own_shell.api.join("n1")
    with own_shell.running("submit", "--follow", "--", "true") as process:
        [found] = eventually(lambda: own_shell.api.get("/v1/jobs")["items"])
        attempt = own_shell.api.start(found["id"])
        with own_shell.running("wait", found["id"]) as waiting:
            own_shell.api.write(attempt, (0, b"hello\n"))
            own_shell.api.finish(attempt, state="failed", exit_code=7)
            assert waiting.wait(30) == 7
        output, notes = process.communicate(timeout=30)

    assert (process.returncode, output) == (7, b"hello\n")
    assert notes.startswith(f"{found['id']} submitted\n".encode())


def test_ctrl_c_while_following_leaves_the_job_alone(shell: Shell, tmp_path: Path):
    job, attempt = a_running_job(shell)
    shell.api.write(attempt, (0, b"one\n"))

    with (tmp_path / "out").open("wb") as out, shell.running("logs", "-f", job, stdout=out.fileno()) as process:
        eventually((tmp_path / "out").read_bytes)
        process.send_signal(signal.SIGINT)
        _, notes = process.communicate(timeout=30)

    assert process.returncode == 130
    assert f"levare logs -f {job}" in notes.decode()
    found = shell.api.get(f"/v1/jobs/{job}")
    assert (found["state"], found["cancel_requested_at"]) == ("running", None)


def test_on_a_terminal_the_log_streams_above_the_state_of_the_job(shell: Shell):
    job, attempt = a_running_job(shell)
    shell.api.write(attempt, (0, b"10%\r100%\nhello\n"))
    ours, theirs = pty.openpty()

    with shell.running("logs", "-f", job, stdout=theirs) as process:
        os.close(theirs)
        shown = read_until(ours, b"running")
        shell.api.finish(attempt)
        shown += read_until(ours, None)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == f"{job} (true) succeeded after 0s: It ended.\n".encode()

    os.close(ours)
    lines = [line.strip() for line in shown.replace(b"\r", b"\n").split(b"\n")]
    assert b"hello" in lines
    assert any(line.endswith(b"100%") for line in lines)
    assert not any(line.endswith(b"10%") for line in lines)


def read_until(terminal: int, text: bytes | None) -> bytes:
    """What a program writes to its terminal until it has written `text`, or until it closes it."""
    shown = b""
    while text is None or text not in shown:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # closed
            return shown
    return shown


def test_drain_and_resume_are_seen_by_everyone(shell: Shell):
    shell.api.join("n1")

    assert "n1 is draining" in shell.succeed("drain", "n1")
    assert json.loads(shell.succeed("nodes", "n1", "--json"))["state"] == "draining"
    assert "n1 is ready" in shell.succeed("resume", "n1")
    assert "1 of 1 nodes ready, 0 of 2 GPUs held" in shell.succeed("top", "--once")


def test_a_team_is_set_in_parts_and_bounds_what_is_submitted_for_it(shell: Shell):
    shell.succeed("teams", "set", "vision", "--weight", "2", "--queued", "1", "--no-borrow", "--gpus", "8")
    shell.succeed("teams", "set", "vision", "--gpu-hours", "2000", "--period", "7d", "--gpus", "none")

    found = json.loads(shell.succeed("teams", "vision", "--json"))
    assert (found["weight"], found["quota"]["gpus"], found["quota"]["borrow"]) == (2, None, False)
    assert (found["quota"]["queued"], found["quota"]["period_seconds"]) == (1, 604800)
    shell.succeed("submit", "--team", "vision", "--", "true")
    assert "1 of its quota" in shell.levare("submit", "--team", "vision", "--", "true").stderr
    assert "vision" in shell.succeed("teams")
    assert "weighs 1" in shell.succeed("teams", "remove", "vision")


def test_a_window_keeps_a_node_until_it_is_removed(shell: Shell):
    shell.api.join("n1")

    made = shell.succeed("windows", "add", "upgrade", "--node", "n1", "--from", "+1h", "--until", "+2h")
    assert made.startswith("upgrade keeps n1 from ")
    assert "maintenance" in shell.succeed("windows")
    assert (
        "n9 is no node" in shell.levare("windows", "add", "w", "--node", "n9", "--from", "+1h", "--until", "+2h").stderr
    )
    assert shell.succeed("windows", "remove", "upgrade") == "upgrade gives n1 back\n"


def test_doctor_finds_what_is_missing(own_shell: Shell):
    done = own_shell.levare("doctor", "--json")

    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert {name for name, check in checks.items() if not check["ok"]} == {"redis", "beat", "nodes"}
    assert checks["address"]["detail"] == f"{own_shell.api.url} (from {own_shell.fleet.home}/address)"


def test_the_shell_completes_the_jobs_there_are(shell: Shell):
    job = shell.succeed("submit", "--name", "resnet", "--", "true").strip()
    line = f"levare show {job[:8]}"

    done = shell.levare(_LEVARE_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD="2")

    assert done.stdout.splitlines() == [f"plain,{job}"]
