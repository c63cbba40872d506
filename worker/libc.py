"""The few Linux calls that Python 3.11 has no name for, or only a slow one. All raise OSError on failure."""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from signal import SIGCHLD

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SIG_BLOCK, _SIG_SETMASK = 0, 2
_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 0x01, 0x02
_IN_MODIFY = 0x02
_CLONE3, _CLONE_INTO_CGROUP = 435, 0x2_0000_0000  # the number is the same on every architecture
_SIGSET_BYTES = _SIGINFO_BYTES = 128

if sys.platform != "linux":
    raise ImportError(f"levare runs jobs on Linux, and this is {sys.platform}.")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_with_gil = ctypes.PyDLL(None, use_errno=True)
_with_gil.syscall.argtypes = (ctypes.c_long, ctypes.c_char_p, ctypes.c_size_t)
_with_gil.syscall.restype = ctypes.c_long
_NO_SIGNALS = bytes(_SIGSET_BYTES)


def adopt_orphans() -> None:
    """Whatever descends from this process becomes its child when its own parent dies, also after setsid."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def die_with_parent(signal: int) -> None:
    """Receive `signal` when the parent dies. Survives exec, not fork; the caller must look whether it is too late."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0))


def signal_set(signals: Iterable[int]) -> bytes:
    """As the calls below want them."""
    numbers = ctypes.create_string_buffer(_SIGSET_BYTES)
    for signal in signals:
        _checked(_libc.sigaddset(numbers, int(signal)))
    return numbers.raw


def fork_into(cgroup: int) -> int:
    """
    As os.fork, but the child begins in the cgroup of this directory descriptor: to move it there takes 10 ms.

    Only where there is one thread, for Python's own work after a fork is left out.
    """
    fields = (_CLONE_INTO_CGROUP, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, cgroup)
    arguments = struct.pack("11Q", *fields)
    return _checked(_with_gil.syscall(_CLONE3, arguments, len(arguments)))


def block(signals: bytes) -> None:
    _checked(_libc.sigprocmask(_SIG_BLOCK, signals, None))


def unblock_all() -> None:
    _checked(_libc.sigprocmask(_SIG_SETMASK, _NO_SIGNALS, None))


def signal_fd(signals: bytes) -> int:
    """A descriptor that is readable when one of these blocked signals waits."""
    return _checked(_libc.signalfd(-1, signals, os.O_CLOEXEC | os.O_NONBLOCK))


def waiting_signals(fd: int) -> list[int]:
    """The signals that waited behind a `signal_fd`, taken off it."""
    try:
        data = os.read(fd, _SIGINFO_BYTES * 16)
    except BlockingIOError:
        return []
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), _SIGINFO_BYTES)]


def punch(fd: int, start: int, end: int) -> None:
    """Give the blocks of [start, end) back to the file system; the size stays and the bytes read as zeros."""
    _checked(_libc.fallocate(fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, start, end - start))


def write_watch(path: str) -> int:
    """A descriptor that is readable once somebody has written to the file; reading it arms it again."""
    fd = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    try:
        _checked(_libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY))
    except OSError:
        os.close(fd)
        raise
    return fd


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
