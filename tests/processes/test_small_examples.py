"""The examples that need nothing but levare: a training that makes room, and a gang that meets."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAIN, MEET = ROOT / "examples/preemptible/train.py", ROOT / "examples/gang/meet.py"


def start(script: Path, *options: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
    command = [sys.executable, "-W", "error", str(script), *options]
    env = {**plain, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def said(process: subprocess.Popen[str]) -> str:
    with process:
        return process.communicate(timeout=60)[0]


def test_a_training_that_makes_room_ends_with_the_numbers_of_one_that_does_not(tmp_path: Path):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    undisturbed.mkdir()
    disturbed.mkdir()
    whole = said(start(TRAIN, "--seconds-per-step", "0", cwd=undisturbed))
    job = {"LEVARE_JOB": "k3v9x2m1qa", "LEVARE_WARNING": "SIGUSR1"}

    first = start(TRAIN, "--seconds-per-step", "0.01", "--save-every", "5", cwd=disturbed, **job)
    until = time.monotonic() + 30
    while not (disturbed / "checkpoints/line.json").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    first.send_signal(signal.SIGUSR1)

    assert "makes room: saved after step" in said(first)
    assert first.returncode == 143
    second = said(start(TRAIN, "--seconds-per-step", "0", cwd=disturbed, **job))
    assert second.splitlines()[0].startswith("resumed after step ")
    assert second.splitlines()[-1] == whole.splitlines()[-1]


def test_three_meet_where_the_first_listens_whoever_comes_first(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    gang = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "3", "LEVARE_NODES": "a,b,c"}

    parts = [start(MEET, cwd=tmp_path, NODE_RANK=str(rank), **gang) for rank in (2, 1, 0)]

    heard = [said(part) for part in parts]
    assert heard[0] == "rank 2 on c met rank 0 on a\nrank 2 on c met rank 1 on b\n"
    assert [part.returncode for part in parts] == [0, 0, 0], heard


def test_a_gang_of_one_needs_nobody(tmp_path: Path):
    alone = start(MEET, cwd=tmp_path)

    assert (said(alone), alone.returncode) == ("", 0)
