"""structlog, set up the same way in every process: events are `noun.past`, ids and units are keys."""

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from levare.settings import Settings

_SAY_ADDRESSES = ("httpx", "httpcore", "urllib3", "apprise")
"""Libraries that log the address of each message, which is a secret of a channel. What fails is said without it."""


def configure(settings: Settings, *, process: str) -> None:
    """Send structlog's and the standard library's records to stderr in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _named(process),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers = _renderers(settings)
    structlog.configure(  # straight to stderr: the way round by the standard library costs three times as much
        processors=[*shared, *renderers],
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _SAY_ADDRESSES:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Unfailing:
    """Whoever reads what is logged may be gone, or the disk full: that must not fail what is logged about."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def _named(process: str) -> Processor:
    """Which process speaks; not a context variable, for those do not reach threads."""

    def name(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    return name


def _renderers(settings: Settings) -> list[Processor]:
    wants_console = settings.log_format == "console" or (not settings.log_format and sys.stderr.isatty())
    if wants_console:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
