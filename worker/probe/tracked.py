"""An attempt to be measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tracked:
    """
    A live attempt. Its processes are those in its cgroup, or else all descendants of its supervisor.

    `cgroup` is a directory; `devices` maps the UUID of each device to the MiB that the attempt holds of it.
    """

    attempt_id: str
    supervisor_pid: int
    cgroup: str | None = None
    devices: Mapping[str, int] = field(default_factory=dict)
