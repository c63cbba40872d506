"""
What levare's schedules are measured against: `celery beat` and RedBeat, with as many entries.

`RAW_BUSY` entries are due every ten seconds and the others far in the future, or all of them `RAW_BURST` seconds after
the start. Each send is written to `RAW_SENT` as a line: when, and of which entry.
"""

import os
import time
from datetime import timedelta
from pathlib import Path

from celery import Celery
from celery.schedules import schedule
from celery.signals import before_task_publish

BUSY_SECONDS = 10
_FAR = timedelta(days=1000)

app = Celery("raw", broker=os.environ.get("RAW_BROKER", ""), set_as_current=False)
app.conf.task_ignore_result = True
app.conf.redbeat_redis_url = os.environ.get("RAW_BROKER", "").replace("redis+socket", "unix")


def entries() -> dict[str, schedule]:
    """Name -> when."""
    count, busy, burst = (int(os.environ[name]) for name in ("RAW_COUNT", "RAW_BUSY", "RAW_BURST"))
    if burst:
        return {f"burst-{number}": schedule(burst) for number in range(count)}
    often = {f"busy-{number}": schedule(BUSY_SECONDS) for number in range(busy)}
    return often | {f"idle-{number}": schedule(_FAR) for number in range(count - busy)}


@before_task_publish.connect
def _write_down(headers: dict[str, object], **_: object) -> None:
    with Path(os.environ["RAW_SENT"]).open("a") as file:
        file.write(f"{time.time()} {headers['task']}\n")


def save_to_redbeat() -> None:
    from redbeat import RedBeatSchedulerEntry

    for name, when in entries().items():
        RedBeatSchedulerEntry(name, name, when, app=app).save()


if os.environ.get("RAW_PEER") == "celery beat":
    app.conf.beat_schedule = {name: {"task": name, "schedule": when} for name, when in entries().items()}

if __name__ == "__main__":
    save_to_redbeat()
