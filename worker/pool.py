"""
Celery's thread pool with what training needs and it lacks.

A body only waits for a process that is not its child. So stopping the worker must not wait for it
(the bodies detach), a terminate must reach the right attempt, and the pool can grow.
"""

from collections.abc import Callable
from typing import Any

from celery.concurrency.base import apply_target
from celery.concurrency.thread import ApplyResult
from celery.concurrency.thread import TaskPool as ThreadPool

_on_detach: list[Callable[[], None]] = []
_on_terminate: list[Callable[[str], None]] = []


def when_stopping(detach: Callable[[], None]) -> None:
    """`detach` must make every waiting body return."""
    _on_detach.append(detach)


def when_terminated(terminate: Callable[[str], None]) -> None:
    """`terminate` ends the attempt with the given id."""
    _on_terminate.append(terminate)


class TaskPool(ThreadPool):
    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: Any,
    ) -> ApplyResult:
        """Run a body; what Celery takes for its process id is the task id, so that `terminate_job` finds it."""
        task_id = args[1] if args else None
        return ApplyResult(
            self.executor.submit(apply_target, target, args, kwargs, callback, accept_callback, pid=task_id)
        )

    def terminate_job(self, pid: str, signal: Any = None) -> None:  # noqa: ARG002 - Celery's signature
        for terminate in _on_terminate:
            terminate(pid)

    def on_stop(self) -> None:
        self.on_terminate()
        super().on_stop()

    def on_terminate(self) -> None:
        for detach in _on_detach:
            detach()

    def grow(self, n: int = 1) -> None:
        self.limit += n
        self.executor._max_workers += n  # noqa: SLF001 - the executor looks at it whenever work comes

    def shrink(self, n: int = 1) -> None:
        n = min(n, self.limit - 1)
        self.limit -= n
        self.executor._max_workers -= n  # noqa: SLF001
