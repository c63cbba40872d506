"""Jobs that wait, first come first, in buckets of those that are alike, so that thousands of them need not be read."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar


class Queued(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def order(self) -> Any:
        """Who came first; no two have the same."""
        ...


Job = TypeVar("Job", bound=Queued)


class Buckets(Generic[Job]):
    """`key` names the bucket of each job, and must not change while it waits."""

    def __init__(self, key: Callable[[Job], Hashable]) -> None:
        self._key = key
        self.buckets: dict[Hashable, list[Job]] = {}
        self.jobs: dict[str, Job] = {}

    def add(self, job: Job) -> None:
        self.jobs[job.id] = job
        insort(self.buckets.setdefault(self._key(job), []), job, key=_order)

    def remove(self, job: Job) -> None:
        del self.jobs[job.id]
        key = self._key(job)
        bucket = self.buckets[key]
        del bucket[bisect_left(bucket, job.order, key=_order)]
        if not bucket:
            del self.buckets[key]

    def in_order(self, buckets: Iterable[Sequence[Job]] | None = None) -> Iterator[Job]:
        """First come first, of some buckets or of all."""
        return heapq.merge(*(self.buckets.values() if buckets is None else buckets), key=_order)


def _order(job: Queued) -> Any:
    return job.order
