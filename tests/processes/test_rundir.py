"""What a worker asks and reads of an attempt, also of one that it did not start."""

import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.fleet import eventually
from tests.trials import Trial, Trials, alive
from worker.rundir import RunDir, boot_id, end_attempt


def with_state(trial: Trial, **changes: object) -> RunDir:
    """The run dir after somebody else has got the number of its supervisor, or so it says."""
    document = {**asdict(trial.state()), **changes}
    trial.run.path.joinpath("state.json").write_text(json.dumps(document))
    return RunDir(trial.run.path)


def test_a_spec_is_read_as_it_was_written_and_by_this_user_only(quick: Trials):
    trial = quick.make("echo", "schön", env={"TOKEN": "secret"}, timeout_seconds=3)

    assert RunDir(trial.run.path).spec() == trial.run.spec()
    assert trial.run.spec().env["TOKEN"] == "secret"
    assert trial.run.path.joinpath("spec.json").stat().st_mode & 0o077 == 0
    assert trial.run.path.stat().st_mode & 0o077 == 0


def test_before_anything_has_started_there_is_nothing_to_read(quick: Trials):
    run = quick.make("true").run

    assert (run.state(), run.ending(), run.open_supervisor(), run.is_locked()) == (None, None, None, False)
    assert (run.log_size(), run.log_cut(), run.read_log(0, 10).data) == (0, 0, b"")
    assert not run.path.joinpath("lock").exists()


def test_a_torn_document_counts_as_absent(quick: Trials):
    run = quick.make("true").run
    run.path.joinpath("exit.json").write_text('{"exit_code": 0, "sig')
    run.path.joinpath("state.json").touch()

    assert run.ending() is None
    assert run.state() is None


def test_a_living_supervisor_is_found_again_and_obeys(trials: Trials):
    trial = trials.start("sleep", "600")
    trial.state()

    supervisor = RunDir(trial.run.path).open_supervisor()
    assert supervisor
    supervisor.signal()

    supervisor.close()
    assert trial.ending().cause == "cancelled"
    assert trial.run.open_supervisor() is None
    assert not trial.run.is_locked()


@pytest.mark.parametrize("change", [{"supervisor_start": 1}, {"boot_id": "another"}, {"supervisor_pid": os.getpid()}])
def test_a_process_that_only_has_the_number_of_the_supervisor_is_not_taken_for_it(
    quick: Trials, change: dict[str, object]
):
    trial = quick.start("sleep", "600")
    job = trial.state().pid

    state = trial.run.path / "state.json"
    true = state.read_bytes()

    assert with_state(trial, **change).open_supervisor() is None
    assert trial.run.is_locked()
    assert alive(job)
    state.write_bytes(true)


def test_without_its_lock_a_process_is_no_supervisor(quick: Trials):
    trial = quick.start("sleep", "600")
    trial.state()
    trial.run.path.joinpath("lock").unlink()
    trial.run.path.joinpath("lock").touch()

    assert trial.run.open_supervisor() is None


def test_signalling_what_has_ended_does_nothing(quick: Trials):
    trial = quick.start("true")
    trial.ending()

    trial.signal()

    assert trial.ending().cause == "exited"


@pytest.mark.parametrize("with_cgroup", [True, False])
def test_what_a_killed_supervisor_left_behind_is_found_and_ended(quick: Trials, with_cgroup: bool):
    script = "setsid sh -c 'trap : TERM; echo ready; while :; do sleep 1; done' & setsid sleep 600 & wait"
    trial = quick.start("sh", "-c", script, cgroup=with_cgroup)
    other = quick.start("sleep", "600")
    trial.says(b"ready")
    job, cgroup = trial.state().pid, trial.state().cgroup
    trial.signal(signal.SIGKILL)
    assert trial.ends()
    eventually(lambda: not alive(job))

    assert end_attempt(trial.run) >= 2

    assert end_attempt(trial.run) == 0
    assert cgroup is None or not Path(cgroup).exists()
    assert alive(other.state().pid)


def test_what_is_supervised_is_not_ended_behind_its_back(quick: Trials):
    trial = quick.start("sleep", "600")
    trial.state()

    with pytest.raises(RuntimeError, match="signal it"):
        end_attempt(trial.run)

    assert alive(trial.state().pid)


def test_the_boot_has_one_name(quick: Trials):
    trial = quick.start("true")
    trial.ending()

    assert trial.state().boot_id == boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
