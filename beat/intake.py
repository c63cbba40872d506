"""
Takes `levare.submit` from the queues `gpu` and `cpu`: each message becomes an ordinary job, once.

The id of the message is the key of the submit, so that one that comes again makes no second job. It is acknowledged
when the job is recorded, or when it is recorded that and why it was refused.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from threading import Event, Thread
from typing import Any

from kombu.connection import Connection
from kombu.entity import Queue
from kombu.message import Message
from kombu.mixins import ConsumerMixin
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.broker import SUBMIT, intake
from levare.errors import InvalidRequest, LevareError
from levare.settings import Settings
from levare.store import answered, audit, jobs
from levare.store.answered import Answered, Key
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.ids import new_id
from levare.store.sharing import rules_of

log = get_logger()

PRODUCER = Actor("celery", "celery", source="redis")
"""Who submits: whoever reaches Redis."""
_QUEUES = ("gpu", "cpu")
_AFTER_TROUBLE_SECONDS = 1.0
_MOST_BYTES = 1 << 20
_CREATED = 201


class Intake(Thread):
    def __init__(self, settings: Settings, *, tell: Callable[[], object]) -> None:
        super().__init__(name="intake", daemon=True)
        self._settings, self._tell = settings, tell
        self._database, self._rules = Database(settings.database), rules_of(settings)

    def run(self) -> None:
        """For as long as the process lives; a broker in trouble is waited for."""
        pause = Event()
        while True:
            try:
                with intake(self._settings) as connection:
                    _Taker(connection, self.take).run()
            except Exception as error:  # noqa: BLE001 - whatever a broker in trouble raises: jobs are still decided
                log.warning("intake.broken", error=str(error) or repr(error))
            pause.wait(_AFTER_TROUBLE_SECONDS)

    def take(self, body: Any, message: Message) -> None:
        """Record a job, or a refusal; without the database the message stays."""
        try:
            self._record(body, message)
        except SQLAlchemyError as error:
            log.warning("submit.not_recorded", error=str(error.__cause__ or error))
            Event().wait(_AFTER_TROUBLE_SECONDS)
            message.requeue()
        else:
            message.ack()

    def _record(self, body: Any, message: Message) -> None:
        task, now = str(message.headers.get("id", "")), datetime.now(UTC)
        try:
            self._submit(body, message, task, now)
        except LevareError as error:
            log.warning("submit.refused", task=task, detail=error.detail)
            with self._database.writing() as connection:
                said = {"code": error.code, "reason": error.detail}
                audit.record(connection, PRODUCER, "submit.refused", task, now=now, **said)
        else:
            self._tell()

    def _submit(self, body: Any, message: Message, task: str, now: datetime) -> None:
        from levare.intake import (  # takes a third of a second, and most deployments need it never
            request_of,
            submission,
        )

        args, kwargs, queue = _wished(body, message)
        priority, eta = message.properties.get("priority"), message.headers.get("eta")
        wish = submission(request_of(args, kwargs, queue=queue, priority=priority, eta=eta))
        key = Key(PRODUCER.token_id, task, sha256(str(body).encode()).hexdigest())
        with self._database.writing() as connection:
            if answered.claim(connection, key, now=now) is not None:
                return
            job = jobs.submit(connection, wish, job_id=new_id(), actor=PRODUCER, now=now, rules=self._rules)
            answered.keep(connection, key, Answered(_CREATED, "{}", f"/v1/jobs/{job['id']}", now))
        log.info("submit.taken", task=task, job=job["id"])


class _Taker(ConsumerMixin):
    def __init__(self, connection: Connection, take: Callable[[Any, Message], None]) -> None:
        self.connection = connection  # pyright: ignore[reportAttributeAccessIssue]  # kombu declares None
        self._take = take

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:  # noqa: ARG002, N803  # as kombu calls them
        queues = [Queue(name, routing_key=name) for name in _QUEUES]
        return [Consumer(queues, callbacks=[self._take], accept=["json"], on_decode_error=_drop, prefetch_count=1)]


def _wished(body: Any, message: Message) -> tuple[list[Any], dict[str, Any], str]:
    """The arguments of a message of the second protocol of Celery, and its queue; raise InvalidRequest for others."""
    task = message.headers.get("task")
    if task != SUBMIT:
        raise InvalidRequest(f"The message is of the task {task!r}.", f"Send {SUBMIT}.")
    if len(message.body or b"") > _MOST_BYTES:
        raise InvalidRequest(f"The message has more than {_MOST_BYTES} bytes.", "Put large inputs into files.")
    match body:
        case [list() as args, dict() as kwargs, *_]:
            return args, kwargs, str((message.delivery_info or {}).get("routing_key", ""))
    raise InvalidRequest("The message has no arguments as Celery sends them.", "Send it by `send_task`.")


def _drop(message: Message, error: Exception) -> None:
    log.warning("submit.refused", task=str(message.headers.get("id", "")), detail=str(error))
    message.ack()
