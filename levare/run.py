"""
The training side: tells levare how a training goes, by appending lines to a file.

Training never waits for levare and never dies of it. Nothing here talks to a network, takes a
lock or raises: what cannot be written (a value that is no number, a full disk) is dropped,
counted, and said once on stderr. Outside a job `log`, `progress` and `stopping` do nothing, and
`checkpoint` and `output` are folders of the working directory.

Standard library only, and until the first call only what Python has loaded anyway.
"""

import os
import sys
import time

TYPE_CHECKING = False  # importing `typing` would take longer than importing this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import FrameType
    from typing import Any

_NAME_LIMIT = 128
_VALUES_A_LINE = 64
_PARAMS_A_LINE, _TEXT_LIMIT = 20, 500
_TEXTS = (str, bytes, bytearray)
"""What `float()` would read, though it is no number."""
_HIGH = 600
_HERE, _END, _LARGE = os.SEEK_CUR, os.SEEK_END, 1 << 60
_LITERALS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def log(
    values: "Mapping[str, Any] | None" = None,
    *,
    step: "int | None" = None,
    stage: "str | None" = None,
    epoch: "float | None" = None,
    **metrics: "Any",
) -> None:
    """
    Note metrics of the training: `levare.log(step=10, stage="train", loss=0.31)`.

    A value is whatever `float()` accepts, NaN and infinities too: a number, a NumPy scalar, a
    tensor of one element (one on a GPU is waited for). `stage` is the part of the training, such
    as train, val or test. `step`, `stage` and `epoch` may stand in `values` too; the name `time`
    is levare's own. A value that is no number is dropped, and the rest of the call is kept.

    One call is one write at the end of the file, so lines of threads and forks never mix.
    """
    path = os.environ.get("LEVARE_METRICS")
    if not path:
        return
    if values is not None:
        metrics, step, stage, epoch = _merged(values, metrics, step, stage, epoch)
    head = f'{{"time":{_time()!r},'
    if step is not None:
        head += _step(step)
    if stage is not None:
        head += _stages[stage] if type(stage) is str else _stage(stage)
    if epoch is not None:
        head += _epoch(epoch)
    texts = []
    for name, value in metrics.items():
        if type(value) is float and value - value == 0.0 and (quoted := _quotes[name]):  # finite
            texts.append(f"{quoted}:{value!r}")
        elif text := _text(name, value):
            texts.append(text)
    if texts:
        _file.append(path, _lines(head, texts).encode())


def progress(done: float, total: "float | None" = None) -> None:
    """
    Note how far the training is: `progress(3, 10)`, or a fraction from 0 to 1 as in `progress(0.3)`.

    Call it as often as you like: only a change of a thousandth is written.
    """
    path = os.environ.get("LEVARE_METRICS")
    fraction = _fraction(done, total) if path else None
    if path and fraction is not None and fraction != _file.told:
        _file.told = fraction
        _file.append(path, f'{{"progress":{fraction}}}\n'.encode())


def params(values: "Mapping[str, Any] | None" = None, **more: "Any") -> None:
    """
    Note what this training was given: `levare.params(lr=0.1, epochs=20)`.

    `levare show` and `levare compare` tell it. Of `epochs` or `steps` (or `max_epochs`, `max_steps` and the like) and
    the epochs and steps that are logged, levare takes how far a training is that does not call `progress`.
    """
    path = os.environ.get("LEVARE_METRICS")
    if not path:
        return
    told = list({**_mapping("params", values), **more}.items())
    for begin in range(0, len(told), _PARAMS_A_LINE):
        texts = [text for name, value in told[begin : begin + _PARAMS_A_LINE] if (text := _param(name, value))]
        if texts:
            _file.append(path, f'{{"params":{{{",".join(texts)}}}}}\n'.encode())


def checkpoint() -> "Path":
    """The folder for checkpoints, made if there is none. The next attempt of the job finds what this one left there."""
    return _folder("LEVARE_CHECKPOINTS", "checkpoints")


def output() -> "Path":
    """The folder for results, made if there is none. All attempts of a job have the same."""
    return _folder("LEVARE_OUTPUT", "output")


def stopping() -> bool:
    """
    Whether the job has been warned or asked to end: then save a checkpoint and exit with 143, or what else is not 0.

    That is SIGTERM, after which the grace is running, and before it the warning signal that the job asked for.
    The first call, which must come from the main thread, takes them over: from then on they no longer end the
    process by themselves. A handler that was there is called as well. Forked children, such as the workers of a
    data loader, end by SIGTERM as they would without levare, and do not mind the warning.
    """
    if _stop.watcher != os.getpid() and "LEVARE_JOB" in os.environ:
        _stop.watch()
    return _stop.asked


class _File:
    """
    The file of metrics, kept open between calls.

    A program may close descriptors that it does not know, and the number may then be another
    file's. So ours is a high one, which nothing gets by chance, and is used only while it stands
    where the last write left it; else its inode tells whether it still is what was opened.
    """

    def __init__(self) -> None:
        self.told: float | None = None
        """The progress that was written last."""
        self._opened: tuple[str, int, int, int] = ("", -1, 0, 0)
        self._at = -1
        """Where the last write ended, if nobody else has written since. To ask for that is far cheaper than fstat."""
        self._torn = False

    def append(self, path: str, lines: bytes) -> None:
        """Add the lines in one write. After a write that was cut short, the rest of that line is given up."""
        if self._torn:
            lines = b"\n" + lines
        try:
            name, descriptor, _, _ = self._opened
            if name != path or not self._stands(descriptor):
                descriptor = self._checked(path)
            written = os.write(descriptor, lines)
        except OSError as error:
            self._at = -1
            _drop("file", "{} cannot be written: {}", path, error.strerror)
            return
        self._at += written
        self._torn = written < len(lines)
        if self._torn:
            _drop("file", "{} cannot be written: it takes no more bytes", path)

    def _stands(self, descriptor: int) -> bool:
        try:
            return os.lseek(descriptor, 0, _HERE) == self._at
        except OSError:
            return False

    def _checked(self, path: str) -> int:
        """The descriptor, opened again unless it is the file of this path that was opened."""
        name, descriptor, device, inode = self._opened
        try:
            now = os.fstat(descriptor) if name == path else None
        except OSError:
            now = None
        if now is None or now.st_ino != inode or now.st_dev != device:
            descriptor = self._open(path)
        self._at = _position(descriptor)
        return descriptor

    def _open(self, path: str) -> int:
        descriptor = _high(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644))
        now = os.fstat(descriptor)
        self._opened = (path, descriptor, now.st_dev, now.st_ino)
        return descriptor


class _Stop:
    """The wish that this process end, once it has come."""

    def __init__(self) -> None:
        self.asked = False
        self.watcher = -1
        """The process that called `stopping`."""
        self._before: dict[int, Any] = {}

    def watch(self) -> None:
        import signal

        warning = getattr(signal, os.environ.get("LEVARE_WARNING", ""), signal.SIGTERM)
        try:
            for number in {signal.SIGTERM, warning}:
                self._take_over(number)
        except ValueError:
            _drop("thread", "stopping() must be called once from the main thread to see that the job is to end")
            return
        self.watcher = os.getpid()

    def _take_over(self, number: int) -> None:
        import signal

        before = signal.getsignal(number)
        signal.signal(number, self._came)
        if before != self._came:  # a forked child may have inherited this very handler
            self._before[number] = before

    def _came(self, number: int, frame: "FrameType | None") -> None:
        import signal

        before = self._before.get(number)
        if callable(before):
            before(number, frame)
        if self.watcher == os.getpid():
            self.asked = True
        elif number == signal.SIGTERM and before in (None, 0):  # a child that never asked: what the system does
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


class _Troubles:
    """What was dropped, by kind: each kind is said once, and how often it came at the end."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def note(self, kind: str, sentence: str, *things: "Any") -> None:
        """One more of this kind. The things are put into the sentence if it is said: to show one may take long."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] == 1:
            said = sentence.format(*map(_shown, things))
            _say(f"{said}. The training goes on; more of this is counted, not said.")
        if sum(self._counts.values()) == 1:
            import atexit

            atexit.register(self.report)

    def report(self) -> None:
        if sum(self._counts.values()) > len(self._counts):
            _say("dropped in all: " + ", ".join(f"{count} ({kind})" for kind, count in self._counts.items()) + ".")


class _Quotes(dict[str, str]):
    """Names as JSON writes them. Empty for what is no name, or levare's own."""

    def __missing__(self, name: str) -> str:
        import json

        fits = isinstance(name, str) and 0 < len(name) <= _NAME_LIMIT and name != "time"
        self[name] = json.dumps(name) if fits else ""
        return self[name]


class _Stages(dict[str, str]):
    """Stages as they stand in a line. What is none is not kept, so that each time counts as dropped."""

    def __missing__(self, stage: str) -> str:
        text = _stage(stage)
        if text:
            self[stage] = text
        return text


def _position(descriptor: int) -> int:
    """Where the next write would begin; below 0 for what has no positions, such as a pipe."""
    try:
        return os.lseek(descriptor, 0, _END)
    except OSError:
        return -_LARGE


def _high(descriptor: int) -> int:
    """The same file by a number that no file gets by chance, where this process may have one."""
    try:
        import fcntl

        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except (ImportError, OSError):
        return descriptor
    os.close(descriptor)
    return high


_file = _File()
_stop = _Stop()
_troubles = _Troubles()
_quotes = _Quotes()
_stages = _Stages()
_time = time.time
_drop = _troubles.note


def _merged(values: "Any", metrics: "dict[str, Any]", *reserved: "Any") -> "tuple[Any, Any, Any, Any]":
    """All metrics of a call, and its step, stage and epoch, which may stand among `values`."""
    merged = {**_mapping("log", values), **metrics}
    inner = [merged.pop(name, None) for name in ("step", "stage", "epoch")]
    step, stage, epoch = (inside if given is None else given for given, inside in zip(reserved, inner, strict=True))
    return merged, step, stage, epoch


def _mapping(call: str, values: "Any") -> "dict[Any, Any]":
    try:
        return {} if values is None else {**values}
    except Exception:  # noqa: BLE001 - it may be anything, and training must not die of it
        _drop("value", f"{call}() takes a mapping of names to values, not {{}}", values)
        return {}


def _param(name: "Any", value: "Any") -> str:
    """A parameter as it stands in a line: numbers and truths as they are, of anything else its text, if need be cut."""
    import json

    try:
        quoted = json.dumps(str(name)[:_NAME_LIMIT])
        is_plain = isinstance(value, bool) or (isinstance(value, int | float) and value - value == 0)
        return f"{quoted}:{json.dumps(value if is_plain else str(value)[:_TEXT_LIMIT])}"
    except Exception as error:  # noqa: BLE001 - any object's code may run here
        _drop("param", "the parameter {} cannot be written: {}", name, error)
        return ""


def _lines(head: str, texts: "list[str]") -> str:
    """One line, or more where there are more values than levare reads from a line."""
    if len(texts) <= _VALUES_A_LINE:
        return f"{head}{','.join(texts)}}}\n"
    return _lines(head, texts[:_VALUES_A_LINE]) + _lines(head, texts[_VALUES_A_LINE:])


def _step(value: "Any") -> str:
    """As it stands before the metrics of a line; empty where it cannot be written. So are the next two."""
    if type(value) is int and -_LARGE < value < _LARGE:  # most calls
        return f'"step":{value},'
    try:
        if (whole := int(value)) == value:
            return f'"step":{whole},'
    except Exception:  # noqa: BLE001, S110  # nosec B110  # any object's code may run here: what is said below holds
        pass
    _drop("step", "step is {}, which is no whole number", value)
    return ""


def _stage(value: "Any") -> str:
    quoted = _quotes[value] if isinstance(value, str) else ""
    if not quoted:
        _drop("stage", "stage is {}, which is no text such as train, val or test", value)
        return ""
    return f'"stage":{quoted},'


def _epoch(value: "Any") -> str:
    number = _number("epoch", value)
    return f'"epoch":{number},' if number else ""


def _text(name: str, value: "Any") -> str:
    """A metric as it stands in a line; empty where its name or its value cannot be written."""
    quoted = _quotes[name]
    if not quoted:
        _drop("name", "{} cannot name a metric: take a text of 1 to {} characters but 'time'", name, _NAME_LIMIT)
        return ""
    number = _number(name, value)
    return f"{quoted}:{number}" if number else ""


def _number(name: str, value: "Any") -> str:
    """The JSON of a number, with Python's NaN and Infinity; empty for what is no number."""
    try:
        text = repr(float(value)) if not isinstance(value, _TEXTS) else ""
    except Exception as error:  # noqa: BLE001 - any tensor's code may run here, and raise anything
        _drop("value", "{} is no number: {}", name, error)
        return ""
    if not text:
        _drop("value", "{} is the text {}, which is no number", name, value)
    return _LITERALS.get(text, text)


def _fraction(done: "Any", total: "Any") -> "float | None":
    try:
        fraction = float(done) / (1.0 if total is None else float(total))
    except Exception:  # noqa: BLE001 - as in `_number`
        fraction = -1.0
    if 0 <= fraction <= (1 if total is None else float("inf")):
        return round(min(fraction, 1.0), 3)
    _drop("progress", "progress({}, {}) is no part of a whole, from 0 to 1", done, total)
    return None


def _folder(variable: str, outside: str) -> "Path":
    from pathlib import Path

    folder = Path(os.environ.get(variable) or outside)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _drop("folder", "the folder {} cannot be made: {}", str(folder), error.strerror)
    return folder


def _shown(thing: "Any") -> str:
    try:
        return repr(thing)[:200]
    except Exception:  # noqa: BLE001 - it may be anything, and training must not die of showing it
        return f"a {type(thing).__name__}"


def _say(sentence: str) -> None:
    try:
        sys.stderr.write(f"levare: {sentence}\n")
    except Exception:  # noqa: BLE001 - stderr may be closed, or anything that a program put there
        return
