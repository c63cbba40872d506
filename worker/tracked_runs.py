"""
The MLflow runs of one attempt: what its script has been told that it has, and the lines that they are to levare.

All that a client may ask for again is written to a file of the run dir first, so that a worker that starts anew
answers the same. Metrics and parameters go to the metrics file of the attempt, like those of any other script.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from levare import stages

FIRST_EXPERIMENT = "0"
MOST_BYTES = 16 * 1024 * 1024
"""Of what is kept of the runs of an attempt; metrics do not count."""
_IS_OF_TRANSFORMERS = "transformers_version"
"""A parameter that the Trainer of Hugging Face tells: what it logs without a stage is of training."""
_VALUES_A_LINE = 60
_PARAMS_A_LINE = 20
_ODD = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "inf": math.inf, "-inf": -math.inf}


class Refused(Exception):
    """What a client is told; `code` is MLflow's word for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Run:
    id: str
    experiment: str
    name: str
    prefix: str
    """Before its metrics, for a run that is not the first of its attempt."""
    started: int
    user: str = ""
    status: str = "RUNNING"
    ended: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The last of each."""


class Book:
    """All runs, experiments and models of one attempt."""

    def __init__(self, folder: Path, *, metrics: Path, artifacts: Path) -> None:
        self._file, self._metrics, self._artifacts = folder / "mlflow.jsonl", metrics, artifacts
        self._lock = Lock()
        self.experiments = {FIRST_EXPERIMENT: "Default"}
        self.runs: dict[str, Run] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self._size = 0
        self._replay()

    def run(self, run_id: Any) -> Run:
        found = self.runs.get(str(run_id))
        if found is None:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Run {run_id!r} is none of this job.")
        return found

    def artifacts_of(self, *parts: str) -> str:
        """The folder for the files of a run or model, below the job's output; the client writes there itself."""
        return self._artifacts.joinpath("mlflow", *parts, "artifacts").as_uri()

    def keep(self, what: str, **facts: Any) -> None:
        """Write down what has changed, then change it."""
        entry = {"what": what, **facts}
        with self._lock:
            line = json.dumps(entry).encode() + b"\n"
            if self._size + len(line) > MOST_BYTES:
                raise Refused(400, "INVALID_PARAMETER_VALUE", f"The runs of one job keep at most {MOST_BYTES} bytes.")
            _append(self._file, line)
            self._size += len(line)
            self._apply(entry)

    def tell_params(self, run: Run, params: Mapping[str, str]) -> None:
        """Note parameters where `levare show` finds them."""
        told = [(name, value) for name, value in params.items() if value != "None"]
        for begin in range(0, len(told), _PARAMS_A_LINE):
            some = {_under(run.prefix, name): _plain(value) for name, value in told[begin : begin + _PARAMS_A_LINE]}
            _append(self._metrics, json.dumps({"params": some}).encode() + b"\n")

    def tell_metrics(self, run: Run, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Add metrics to the file of the attempt, in one write."""
        for metric in metrics:
            run.metrics[str(metric.get("key"))] = metric
        plain = stages.TRAIN if _IS_OF_TRANSFORMERS in run.params else None
        lines = b"".join(json.dumps(line).encode() + b"\n" for line in lines_of(metrics, run.prefix, plain=plain))
        if lines:
            _append(self._metrics, lines)

    def _replay(self) -> None:
        """Read what an earlier worker has written; a last line that is not whole never happened."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return
        self._size = len(data)
        for line in data.splitlines(keepends=True):
            if line.endswith(b"\n"):
                self._apply(json.loads(line))

    def _apply(self, entry: dict[str, Any]) -> None:
        what = entry.pop("what")
        if what == "experiment":
            self.experiments[entry["id"]] = entry["name"]
        elif what == "run":
            self.runs[entry["id"]] = Run(**entry)
        elif what == "model":
            self.models[entry["id"]] = self.models.get(entry["id"], {}) | entry["model"]
        else:
            self._change(self.runs[entry["run"]], what, entry)

    def _change(self, run: Run, what: str, entry: Mapping[str, Any]) -> None:
        if what == "update":
            for name, value in entry["values"].items():
                setattr(run, name, value)
        elif what == "untag":
            run.tags.pop(entry["key"], None)
        else:
            getattr(run, what).update(entry["values"])


def prefix_for(book: Book, name: str) -> str:
    """Nothing for the first run of an attempt; else its name, made unlike the others."""
    if not book.runs:
        return ""
    taken = {run.prefix for run in book.runs.values()}
    return name if name not in taken else f"{name}-{len(taken) + 1}"


def lines_of(
    metrics: Iterable[Mapping[str, Any]], prefix: str, *, plain: str | None = None
) -> Iterable[dict[str, Any]]:
    """Lines of a metrics file: one for each step and stage of what was told at once; `plain` names say no stage."""
    by_step: dict[int | None, list[Mapping[str, Any]]] = {}
    for metric in metrics:
        by_step.setdefault(_step(metric.get("step")), []).append(metric)
    for step, some in by_step.items():
        yield from _of_one_step(step, some, prefix, plain)


def _of_one_step(
    step: int | None, metrics: Sequence[Mapping[str, Any]], prefix: str, plain: str | None
) -> Iterable[dict[str, Any]]:
    """`epoch`, told beside other metrics, is where they are; alone it is a metric."""
    names = stages.split_together(dict.fromkeys(str(metric.get("key")) for metric in metrics))
    epoch = next((_number(each.get("value")) for each in metrics if each.get("key") == "epoch"), None)
    is_place = epoch is not None and math.isfinite(epoch) and len(names) > 1
    place = {"step": step} | ({"epoch": epoch} if is_place else {})
    lines: dict[str | None, dict[str, Any]] = {}
    for metric in metrics:
        stage, name = names[str(metric.get("key"))]
        stage = stage or plain
        if is_place and name == "epoch":
            continue
        told, line = _under(prefix, stages.allowed(name)), lines.get(stage)
        if line is not None and (told in line or len(line) >= _VALUES_A_LINE):
            yield line
            line = None
        if line is None:
            line = lines[stage] = place | ({"stage": stage} if stage else {}) | _time(metric.get("timestamp"))
        line[told] = _number(metric.get("value"))
    yield from lines.values()


def _under(prefix: str, name: str) -> str:
    return f"{prefix}/{name}"[-stages.LONGEST_NAME :] if prefix else name[: stages.LONGEST_NAME]


def _step(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _time(value: Any) -> dict[str, float]:
    milliseconds = _step(value)
    return {"time": milliseconds / 1000} if milliseconds else {}


def _number(value: Any) -> float:
    """As protobuf writes numbers in JSON: what is not finite by name."""
    try:
        return _ODD[value] if isinstance(value, str) and value in _ODD else float(value)
    except (TypeError, ValueError):
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"{value!r} is no number.") from None


def _plain(value: str) -> str | float | bool:
    """A parameter as it was before MLflow made a text of it, where that is plain."""
    if value in ("True", "False"):
        return value == "True"
    try:
        number = float(value)
    except ValueError:
        return value
    if not math.isfinite(number):
        return value
    return int(number) if number.is_integer() and value.lstrip("-").isdecimal() else number


def _append(path: Path, data: bytes) -> None:
    """In one write, as every other writer of the file does."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
