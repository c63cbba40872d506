"""The jobs that wait, first come first, in the buckets that a policy looks into."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from benchmarks.simulator.fleet import SimJob


class Queue:
    """A policy names the bucket of each job, so that it need not read thousands of jobs that are all alike."""

    def __init__(self, bucket: Callable[[SimJob], Hashable]) -> None:
        self._bucket = bucket
        self.buckets: dict[Hashable, list[SimJob]] = {}
        self.jobs: dict[str, SimJob] = {}

    def add(self, job: SimJob) -> None:
        self.jobs[job.id] = job
        insort(self.buckets.setdefault(self._bucket(job), []), job, key=_order)

    def remove(self, job: SimJob) -> None:
        del self.jobs[job.id]
        key = self._bucket(job)
        bucket = self.buckets[key]
        del bucket[bisect_left(bucket, job.order, key=_order)]
        if not bucket:
            del self.buckets[key]

    def in_order(self, buckets: Iterable[Sequence[SimJob]] | None = None) -> Iterator[SimJob]:
        """First come first, of some buckets or of all."""
        return heapq.merge(*(self.buckets.values() if buckets is None else buckets), key=_order)


def _order(job: SimJob) -> tuple[object, str]:
    return job.order
