"""`python -m beat`: celery beat with our Conductor."""

import gc

gc.disable()  # until all is imported, for all of it stays

import signal
from types import FrameType

from celery.beat import Service

from beat import scheduler  # noqa: F401 - Celery asks for it by its name
from levare import broker
from levare.machine import refuse_shared
from levare.process import running_as

gc.enable()


def main() -> None:
    gc.freeze()  # what is imported stays
    with running_as("beat") as configured:
        if configured.sqlite_file:  # said here, for Celery tells of what its scheduler meets as of a crash
            refuse_shared(configured.sqlite_file)
        app = broker.make_app(configured)
        app.set_current()
        beat = app.Beat(pidfile=None, quiet=True, loglevel="INFO", redirect_stdouts=False)
        beat.install_sync_handler = leave_between_ticks
        beat.run()


def leave_between_ticks(service: Service) -> None:
    """
    Let TERM and Ctrl-C end the loop after the tick that is under way, a second at most.

    Celery's own handler ends it in the midst of whatever runs, a transaction whose lock it then waits for itself.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        service._is_shutdown.set()  # noqa: SLF001 - what `service.stop` does, without logging inside a signal

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


if __name__ == "__main__":
    main()
