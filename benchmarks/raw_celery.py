"""What levare is measured against: Celery's own thread pool, and `subprocess.run` in the task."""

import os
import subprocess
from pathlib import Path

from celery import Celery

app = Celery("raw", broker=os.environ["RAW_BROKER"], set_as_current=False)
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task(name="raw.run")
def run(command: list[str], done: str = "") -> None:
    """Run a command; append a byte to `done`, so that the end of many can be seen."""
    subprocess.run(command, check=False)
    if done:
        with Path(done).open("ab") as file:
            file.write(b".")
