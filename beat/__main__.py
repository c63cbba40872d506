"""`python -m beat`: celery beat with our Conductor."""

import signal
from types import FrameType

from levare import broker, logs, settings


def main() -> None:
    configured = settings.load()
    logs.configure(configured, process="beat")
    signal.signal(signal.SIGTERM, _leave)
    app = broker.make_app(configured)
    app.set_current()
    beat = app.Beat(pidfile=None, quiet=True, loglevel="INFO", redirect_stdouts=False)
    beat.run()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
