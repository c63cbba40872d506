"""
Why an attempt has failed: a class with its evidence, from what is known of its ending and from its last lines.

Whom to believe, in this order:

1. Who ended it from outside knows why: the node is lost, it made room, its limit of time or of memory was reached, it
   could not be started, the kernel killed it for lack of memory.
2. The exceptions with which the log ends: see `lastexceptions`.
3. Other lines among the last ones that are no warnings.
4. The signal and the exit code.
5. Numbers: the last value of a loss is NaN or infinite.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from levare.decide.lastexceptions import (
    Sign,
    has_plain_cause,
    is_echo,
    last_exceptions,
    root_of,
    signs_in,
    signs_of,
    strength,
)
from levare.decide.lastwords import Line, Raised, lines_of
from levare.decide.signs import WRAPPERS, is_harmless, sign_in
from levare.model import LOST, OUT_OF_MEMORY, PREEMPTED, TIMED_OUT
from levare.model.failures import (
    CANNOT_START,
    COMMAND_NOT_FOUND,
    CUDA_ERROR,
    DISK_FULL,
    EXCEPTION,
    GPU_MEMORY,
    HOST_MEMORY,
    KILLED,
    NAN,
    NODE_LOST,
    PERMISSION_DENIED,
    PREEMPTION,
    SEGFAULT,
    SHARED_MEMORY,
    TIMEOUT,
    UNKNOWN,
)

_LAST_LINES = 30
"""Outside of tracebacks so many lines are looked at."""
_MOST_EVIDENCE = 5
_SIGNALLED = 128
_SIGKILL = 9
_SIGXFSZ, _SIGXCPU = 25, 24
_CRASHES = (4, 6, 7, 8, 11)
"""SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV."""
_LAST_CODES = {124: TIMEOUT, 126: PERMISSION_DENIED, 127: COMMAND_NOT_FOUND}
_NOT_FINITE = re.compile(r"^[-+]?(?:nan|inf(?:inity)?)$", re.IGNORECASE)
_XID = re.compile(r"NVRM: Xid")
_OF_MEMORY = re.compile(r"[Oo]ut of memory|oom[-_]kill", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """
    What is known of an ending; `log` is its end, which begins at `offset`.

    `error` is what the supervisor adds, `kernel` are lines of the kernel's own log from its time, `metrics` the last
    values that it told.
    """

    outcome: str
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    started: bool = True
    error: str = ""
    log: bytes = b""
    offset: int = 0
    kernel: Sequence[str] = ()
    metrics: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """A line that speaks for a class: `log` at its offset, `kernel`, `metrics`, or the `ending` itself."""

    source: str
    text: str
    offset: int | None = None


@dataclass(frozen=True)
class Diagnosis:
    """A class; for an exception also its type."""

    name: str
    evidence: Sequence[Evidence] = ()
    exception: str | None = None


def diagnose(facts: Facts) -> Diagnosis:
    """The class of a failure with what speaks for it, strongest first."""
    lines = lines_of(facts.log, facts.offset)
    found = _from_outside(facts, lines) or _from_words(facts, lines) or _from_ending(facts, lines)
    more = [Evidence("kernel", text) for text in facts.kernel]
    return Diagnosis(found.name, _distinct([*found.evidence, *more]), found.exception)


def _distinct(evidence: Iterable[Evidence]) -> list[Evidence]:
    return list(dict.fromkeys(each for each in evidence if each.text.strip()))[:_MOST_EVIDENCE]


def _from_outside(facts: Facts, lines: Sequence[Line]) -> Diagnosis | None:
    names = {LOST: NODE_LOST, PREEMPTED: PREEMPTION, TIMED_OUT: TIMEOUT, OUT_OF_MEMORY: HOST_MEMORY}
    told = _told(facts)
    if facts.outcome in names:
        last = [_quoted(lines[-1])] if lines and facts.outcome == TIMED_OUT else []
        return Diagnosis(names[facts.outcome], [told, *last])
    if not facts.started:
        return Diagnosis(_why_not_started(facts), [told])
    is_killed = _SIGKILL in (facts.signal, (facts.exit_code or 0) - _SIGNALLED)
    kills = [Evidence("kernel", text) for text in sorted(facts.kernel, key=_is_tally) if _OF_MEMORY.search(text)]
    if is_killed and (kills or _OF_MEMORY.search(facts.error) or "lack of memory" in facts.error):
        return Diagnosis(HOST_MEMORY, [*kills, Evidence("ending", facts.error), told])
    return None


def _is_tally(text: str) -> bool:
    """Whether it is the line that lists who shares the memory, and not the sentence that says who was killed."""
    return "oom-kill:" in text


def _why_not_started(facts: Facts) -> str:
    return COMMAND_NOT_FOUND if "was not found on this node" in facts.reason else CANNOT_START


def _told(facts: Facts) -> Evidence:
    return Evidence("ending", facts.reason or facts.outcome)


def _quoted(line: Line) -> Evidence:
    return Evidence("log", line.text.strip(), line.offset)


def _from_words(facts: Facts, lines: Sequence[Line]) -> Diagnosis | None:
    """What the log says, if it says anything special."""
    chain = last_exceptions(lines)
    signs = signs_of(chain) or signs_in(lines[-_LAST_LINES:])
    signs = [sign for sign in signs if _fits(sign, facts)]
    if not signs or (is_echo(signs) and has_plain_cause(chain)):
        return None
    sign = min(signs, key=strength)
    besides = [_quoted(each.line) for each in signs if each.name == sign.name]
    words = [_quoted(line) for line in lines[-_LAST_LINES:] if _also(line, sign)]
    return Diagnosis(sign.name, [_quoted(sign.line), *besides, *words], _type_of(sign, chain))


def _also(line: Line, sign: Sign) -> bool:
    return not is_harmless(line.text) and sign_in(line.text) == sign.name


def _type_of(sign: Sign, chain: Sequence[Raised]) -> str | None:
    return next((each.type for each in chain if each.line == sign.line), None)


def _fits(sign: Sign, facts: Facts) -> bool:
    """What was killed says nothing of why, but for lack of memory; only what ends by itself has last words."""
    code = facts.signal or (facts.exit_code or 0) - _SIGNALLED
    return code != _SIGKILL or sign.name in (HOST_MEMORY, GPU_MEMORY, SHARED_MEMORY, DISK_FULL)


def _from_ending(facts: Facts, lines: Sequence[Line]) -> Diagnosis:
    """From the signal, the exit code, the numbers, and the type of an exception that says nothing special."""
    number = facts.signal or (facts.exit_code or 0) - _SIGNALLED
    if number > 0:
        return Diagnosis(_of_signal(number, facts), [_told(facts)])
    if wild := [Evidence("metrics", f"{name}: {value}") for name, value in facts.metrics.items() if _is_wild(value)]:
        return Diagnosis(NAN, wild)
    if _has_xid(facts):
        return Diagnosis(CUDA_ERROR, [_told(facts)])
    chain = [each for each in last_exceptions(lines) if not WRAPPERS.search(each.type)]
    return _of_exception(chain) if chain else _of_code(facts, lines)


def _of_signal(number: int, facts: Facts) -> str:
    if number in _CRASHES:
        return CUDA_ERROR if _has_xid(facts) else SEGFAULT
    return {_SIGXFSZ: DISK_FULL, _SIGXCPU: TIMEOUT}.get(number, KILLED)


def _of_exception(chain: Sequence[Raised]) -> Diagnosis:
    cause = root_of(chain)
    others = [_quoted(each.line) for each in chain if each is not cause]
    return Diagnosis(EXCEPTION, [_quoted(cause.line), *others], cause.type)


def _of_code(facts: Facts, lines: Sequence[Line]) -> Diagnosis:
    last = [_quoted(line) for line in lines[-1:]]
    return Diagnosis(_LAST_CODES.get(facts.exit_code or 0, UNKNOWN), [_told(facts), *last])


def _has_xid(facts: Facts) -> bool:
    return any(_XID.search(text) for text in facts.kernel)


def _is_wild(value: float | str) -> bool:
    return isinstance(value, str) and bool(_NOT_FINITE.match(value))
