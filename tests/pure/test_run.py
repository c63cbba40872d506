"""The training side: lines in a file, and nothing that could stop a training."""

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

import levare
from levare import run


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("LEVARE_METRICS", str(path))
    monkeypatch.setenv("LEVARE_JOB", "k3v9x2m1qa")
    monkeypatch.setattr(run, "_file", run._File())
    monkeypatch.setattr(run._troubles, "_counts", {})
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def in_python(
    code: str, *, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=60,
        check=False,
        cwd=cwd,
    )


def test_a_metric_is_a_line_with_its_place_and_time(metrics: Path) -> None:
    levare.log(step=10, stage="train", epoch=1, loss=0.31, accuracy=0.8)

    [line] = lines(metrics)
    assert line.pop("time") == pytest.approx(time.time(), abs=60)
    assert line == {"step": 10, "stage": "train", "epoch": 1.0, "loss": 0.31, "accuracy": 0.8}


def test_metrics_may_come_as_a_mapping_that_holds_the_place_too(metrics: Path) -> None:
    levare.log({"loss": 0.5, "step": 3, "stage": "val"}, epoch=2, f1=0.25)

    [line] = lines(metrics)
    assert (line["step"], line["stage"], line["epoch"], line["loss"], line["f1"]) == (3, "val", 2.0, 0.5, 0.25)


def test_a_place_that_is_given_beside_the_mapping_wins(metrics: Path) -> None:
    levare.log({"loss": 0.5, "step": 3}, step=4)

    assert lines(metrics)[0]["step"] == 4


def test_numpy_scalars_are_numbers(metrics: Path) -> None:
    numpy = pytest.importorskip("numpy")
    levare.log(step=numpy.int64(7), loss=numpy.float32(0.5), flag=numpy.bool_(True))

    [line] = lines(metrics)
    assert (line["step"], line["loss"], line["flag"]) == (7, 0.5, 1.0)


def test_nan_and_infinities_arrive(metrics: Path) -> None:
    levare.log(loss=math.nan, up=math.inf, down=-math.inf)

    [line] = lines(metrics)
    assert math.isnan(line["loss"])
    assert (line["up"], line["down"]) == (math.inf, -math.inf)


def test_what_is_no_number_is_dropped_and_said_once_and_the_rest_is_kept(
    metrics: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        levare.log(step=1, loss=0.5, words="0.5", things=[1, 2], nothing=None)

    assert [set(line) for line in lines(metrics)] == [{"time", "step", "loss"}] * 3
    said = capsys.readouterr().err
    assert said.count("levare:") == 1
    assert "'words'" in said


@pytest.mark.parametrize(
    "call",
    [
        lambda: levare.log(5),  # type: ignore[arg-type]
        lambda: levare.log([1, 2]),  # type: ignore[arg-type]
        lambda: levare.log({3: 0.5}),  # type: ignore[dict-item]
        lambda: levare.log({"": 0.5}),
        lambda: levare.log({"x" * 129: 0.5}),
        lambda: levare.log(time=3.0),
        lambda: levare.log(huge=10**400),
        lambda: levare.log(step="ten", stage=["train"], epoch="one", loss="low"),  # type: ignore[arg-type]
        lambda: levare.progress(1, 0),
        lambda: levare.progress(50),
        lambda: levare.progress(-1, 10),
        lambda: levare.progress(math.nan),
        lambda: levare.progress("half"),  # type: ignore[arg-type]
    ],
)
def test_nonsense_writes_nothing_and_raises_nothing(
    metrics: Path, capsys: pytest.CaptureFixture[str], call: Callable[[], None]
) -> None:
    call()

    assert not metrics.exists()
    assert "levare: " in capsys.readouterr().err


def test_a_wrong_place_is_dropped_and_the_metric_kept(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    levare.log(step=1.5, stage=7, epoch="one", loss=0.5)  # type: ignore[arg-type]

    assert set(lines(metrics)[0]) == {"time", "loss"}
    said = capsys.readouterr().err
    assert "step is 1.5" in said
    assert "stage is 7" in said


def test_an_object_whose_conversion_raises_stops_nothing(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Tensor:
        def __float__(self) -> float:
            raise RuntimeError("a tensor with 2 elements cannot be converted to a number")

    levare.log(loss=Tensor(), accuracy=0.5)

    assert set(lines(metrics)[0]) == {"time", "accuracy"}
    assert "2 elements" in capsys.readouterr().err


def test_what_cannot_even_be_shown_stops_nothing(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Hidden:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    levare.log(step=Hidden(), loss=Hidden(), huge=10**5000, accuracy=0.5)  # type: ignore[arg-type]
    levare.log(step=10**5000, accuracy=0.25)
    levare.progress(Hidden(), 10**5000)  # type: ignore[arg-type]

    assert [line["accuracy"] for line in lines(metrics)] == [0.5, 0.25]
    assert "step is a Hidden" in capsys.readouterr().err


def test_more_values_than_a_line_may_hold_become_more_lines(metrics: Path) -> None:
    levare.log({f"m{i}": i for i in range(150)}, step=1)

    parts = lines(metrics)
    assert [len(part) - 2 for part in parts] == [64, 64, 22]
    assert {part["step"] for part in parts} == {1}


def test_progress_is_written_when_it_has_changed_by_a_thousandth(metrics: Path) -> None:
    for done in range(100_001):
        levare.progress(done, 100_000)

    told = [line["progress"] for line in lines(metrics)]
    assert told == [i / 1000 for i in range(1001)]


def test_outside_a_job_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEVARE_METRICS", "LEVARE_JOB", "LEVARE_CHECKPOINTS", "LEVARE_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    levare.log(loss=0.5)
    levare.log("nonsense")  # type: ignore[arg-type]
    levare.progress(1, 2)

    assert not levare.stopping()
    assert signal.getsignal(signal.SIGTERM) is before
    assert list(tmp_path.iterdir()) == []
    assert levare.checkpoint() == Path("checkpoints")
    assert levare.output() == Path("output")
    assert (tmp_path / "checkpoints").is_dir()


def test_inside_a_job_the_folders_are_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVARE_CHECKPOINTS", str(tmp_path / "jobs" / "a" / "checkpoints"))
    monkeypatch.setenv("LEVARE_OUTPUT", str(tmp_path / "jobs" / "a" / "output"))

    assert levare.checkpoint() == tmp_path / "jobs" / "a" / "checkpoints"
    assert levare.checkpoint().is_dir()
    assert levare.output().is_dir()


def test_a_folder_that_cannot_be_made_is_said_and_still_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(run._troubles, "_counts", {})
    monkeypatch.setenv("LEVARE_CHECKPOINTS", str(tmp_path / "file" / "inner"))

    assert levare.checkpoint() == tmp_path / "file" / "inner"
    assert "cannot be made" in capsys.readouterr().err


def test_lines_of_many_threads_are_whole(metrics: Path) -> None:
    def write(writer: int) -> None:
        for i in range(500):
            levare.log({f"m{k}": writer for k in range(20)}, step=i)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert len(lines(metrics)) == 4000
    assert all(len({line[f"m{k}"] for k in range(20)}) == 1 for line in lines(metrics))


def _write_many(writer: int) -> None:
    for i in range(500):
        levare.log({f"m{k}": writer for k in range(20)}, step=i)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_lines_of_many_processes_are_whole(metrics: Path, method: str) -> None:
    levare.log(first=1)  # so that forks inherit an open file
    context: Any = multiprocessing.get_context(method)
    processes = [context.Process(target=_write_many, args=(writer,)) for writer in range(4)]
    [process.start() for process in processes]
    [process.join(60) for process in processes]

    assert [process.exitcode for process in processes] == [0] * 4
    assert len(lines(metrics)) == 2001


def test_a_descriptor_that_the_program_has_given_another_file_is_never_written(metrics: Path, tmp_path: Path) -> None:
    levare.log(loss=0.5)
    ours = run._file._opened[1]
    other = os.open(tmp_path / "checkpoint.bin", os.O_WRONLY | os.O_CREAT)
    os.dup2(other, ours)
    os.close(other)

    levare.log(loss=0.25)

    assert (tmp_path / "checkpoint.bin").read_bytes() == b""
    assert [line["loss"] for line in lines(metrics)] == [0.5, 0.25]
    os.close(ours)


def test_a_file_that_cannot_be_opened_stops_nothing(
    metrics: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEVARE_METRICS", str(metrics.parent / "no" / "such" / "folder"))

    for _ in range(3):
        levare.log(loss=0.5)
        levare.progress(0.5)

    assert capsys.readouterr().err.count("levare:") == 1


def test_a_full_disk_stops_nothing_and_costs_only_the_lines_it_met(metrics: Path) -> None:
    result = in_python(
        """
import resource, signal, levare
levare.log(step=0, loss=0.5)
size = __import__("os").stat(__import__("os").environ["LEVARE_METRICS"]).st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
for step in range(1, 5): levare.log(step=step, loss=0.5)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for step in range(5, 8): levare.log(step=step, loss=0.5)
print("trained")
"""
    )

    assert result.stdout == "trained\n"
    assert "cannot be written" in result.stderr
    assert "dropped in all: 4 (file)" in result.stderr
    whole = [json.loads(line)["step"] for line in metrics.read_text().splitlines() if line.endswith("}")]
    assert whole == [0, 5, 6, 7]


def test_a_closed_stderr_stops_nothing(metrics: Path) -> None:
    result = in_python("import sys, levare; sys.stderr.close(); sys.stderr = None; levare.log(loss='x'); print('on')")

    assert (result.stdout, result.returncode) == ("on\n", 0)
    assert not metrics.exists()


STOPPABLE = """
import os, signal, sys, time
import levare
{setup}
assert not levare.stopping()
os.kill(os.getpid(), signal.SIGTERM)
print("stopping", levare.stopping(), flush=True)
"""


@pytest.mark.usefixtures("metrics")
def test_sigterm_is_a_wish_once_stopping_has_been_called() -> None:
    result = in_python(STOPPABLE.format(setup=""))

    assert (result.stdout, result.returncode) == ("stopping True\n", 0)


@pytest.mark.usefixtures("metrics")
def test_a_handler_that_was_there_is_called_as_well() -> None:
    setup = "signal.signal(signal.SIGTERM, lambda *_: print('mine'))"
    result = in_python(STOPPABLE.format(setup=setup))

    assert result.stdout == "mine\nstopping True\n"


def test_without_a_call_of_stopping_sigterm_ends_the_process(metrics: Path) -> None:
    result = in_python("import os, signal, levare; levare.log(a=1); os.kill(os.getpid(), signal.SIGTERM); print('on')")

    assert (result.stdout, result.returncode) == ("", -signal.SIGTERM)
    assert lines(metrics)[0]["a"] == 1


@pytest.mark.usefixtures("metrics")
def test_forked_children_end_by_sigterm_as_ever() -> None:
    code = """
import os, signal, levare
levare.stopping()
reads, writes = os.pipe()
child = os.fork()
if child == 0:
    os.write(writes, b"1")
    signal.pause()
    os._exit(0)
os.read(reads, 1)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), levare.stopping())
"""
    result = in_python(code)

    assert result.stdout == f"{-signal.SIGTERM} False\n"


@pytest.mark.usefixtures("metrics")
def test_a_forked_child_may_watch_for_itself() -> None:
    code = """
import os, signal, levare
levare.stopping()
child = os.fork()
if child == 0:
    assert not levare.stopping()
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(7 if levare.stopping() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), levare.stopping())
"""
    result = in_python(code)

    assert result.stdout == "7 False\n"


@pytest.mark.usefixtures("metrics")
@pytest.mark.parametrize(("number", "goes_on"), [("SIGUSR1", True), ("SIGTERM", True), ("SIGUSR2", False)])
def test_the_warning_that_a_job_asked_for_is_a_wish_too(number: str, goes_on: bool) -> None:
    code = f"""
import os, signal, levare
levare.stopping()
os.kill(os.getpid(), signal.{number})
print(levare.stopping())
"""
    result = in_python(code, env={"LEVARE_WARNING": "SIGUSR1"})

    assert result.stdout == ("True\n" if goes_on else "")


@pytest.mark.usefixtures("metrics")
def test_forked_children_do_not_mind_the_warning() -> None:
    code = """
import os, signal, levare
levare.stopping()
reads, writes = os.pipe()
child = os.fork()
if child == 0:
    os.read(reads, 1)
    os._exit(4 if levare.run._stop.asked else 3)
os.kill(child, signal.SIGUSR1)
os.write(writes, b"1")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), levare.stopping())
"""
    result = in_python(code, env={"LEVARE_WARNING": "SIGUSR1"})

    assert result.stdout == "3 False\n", result.stderr


@pytest.mark.usefixtures("metrics")
def test_stopping_from_another_thread_first_is_said_and_harms_nothing() -> None:
    code = """
import os, signal, threading, levare
thread = threading.Thread(target=lambda: print(levare.stopping()))
thread.start(); thread.join()
levare.stopping()
os.kill(os.getpid(), signal.SIGTERM)
print(levare.stopping())
"""
    result = in_python(code)

    assert result.stdout == "False\nTrue\n"
    assert "main thread" in result.stderr


def test_the_import_loads_nothing_but_what_python_has_loaded() -> None:
    code = """
import sys, os, time
before = set(sys.modules)
import levare
print(sorted(set(sys.modules) - before))
"""
    assert in_python(code, cwd=Path(__file__).parents[2]).stdout == "['levare', 'levare.run']\n"


def test_a_whole_training_loads_the_standard_library_only(metrics: Path) -> None:
    code = """
import sys, levare
levare.log(step=1, stage="train", loss=0.5); levare.progress(1, 2); levare.checkpoint(); levare.stopping()
tops = {name.partition(".")[0] for name in sys.modules if getattr(sys.modules[name], "__file__", None)}
foreign = tops - set(sys.stdlib_module_names) - {"levare", "__main__", "sitecustomize", "usercustomize"}
print(sorted(name for name in foreign if not name.startswith(("_", "distutils"))))
"""
    assert in_python(code, cwd=metrics.parent, env={"PYTHONPATH": str(Path(__file__).parents[2])}).stdout == "[]\n"


def test_the_import_takes_a_few_milliseconds() -> None:
    code = "import time; t = time.process_time(); import levare; print(time.process_time() - t)"
    fastest = min(float(in_python(code, cwd=Path(__file__).parents[2]).stdout) for _ in range(5))

    assert fastest < 0.01


def test_a_name_that_levare_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = levare.nonsense  # type: ignore[attr-defined]


def test_the_client_is_loaded_when_it_is_named() -> None:
    code = "import sys, levare; print('levare.client' in sys.modules, levare.Client.__name__)"

    assert in_python(code, cwd=Path(__file__).parents[2]).stdout == "False Client\n"


def test_the_package_knows_its_version_where_nobody_has_installed_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert levare.__version__ == version("levare")

    monkeypatch.setattr("importlib.metadata.version", _unknown)

    assert levare.__version__ == "0"


def _unknown(name: str) -> str:
    raise PackageNotFoundError(name)
