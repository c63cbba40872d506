"""
The one place that configures Celery. The broker carries hints, never truth.

Queues: `gpu` and `cpu` take the task `levare.submit` from plain Celery producers, and beat consumes them.
`gpu.<node>` and `cpu.<node>`, consumed by the worker of that node. A message of the task
`levare.run` carries an attempt id and nothing that could be run. The settings follow from what was
measured with jobs of hours: a message is never the lease of a job, so nothing is kept unacknowledged
(`ack_emulation`), nothing is prefetched, nothing is redelivered by the wall clock.
"""

from typing import Any

from celery import Celery, signals
from kombu.connection import Connection

from levare.settings import Settings

RUN, SUBMIT = "levare.run", "levare.submit"
MOST_CONCURRENT = 256
"""The most attempts that one worker watches; they are threads that wait, and placement is the real limit."""

_RECORDED_WITHIN_SECONDS = 60
_TRANSPORT = {
    "ack_emulation": False,
    "priority_steps": list(range(10)),
    "socket_timeout": 5,  # without one, a hung broker blocks a sender for ever
    "socket_connect_timeout": 2,
    "health_check_interval": 10,
}


def make_app(settings: Settings) -> Celery:
    """A Celery application for this deployment, without any task and without Celery's own ones."""
    app = Celery("levare", broker=broker_url(settings.redis_url), set_as_current=False, changes={})
    app.conf.update(
        accept_content=["json"],
        beat_max_loop_interval=1,
        beat_scheduler="beat.scheduler:Conductor",
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_TRANSPORT,
        event_queue_ttl=60,
        event_queue_expires=120,
        task_acks_late=False,
        task_default_priority=5,
        task_ignore_result=True,
        task_send_sent_event=False,  # the worker says it, together with its own events
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_consumer="worker.consumer:Consumer",
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_pool="worker.pool:TaskPool",
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        worker_send_task_events=True,
    )
    _remove_builtin_tasks(app)
    signals.setup_logging.connect(_leave_logging_alone, dispatch_uid="levare")
    return app


def broker_url(redis_url: str) -> str:
    """kombu writes unix sockets as `redis+socket://`."""
    scheme, _, rest = redis_url.partition("://")
    return f"redis+socket://{rest}" if scheme == "unix" else redis_url


def intake(settings: Settings) -> Connection:
    """A connection for what producers send: what was taken and not recorded comes again, a minute later."""
    options = {**_TRANSPORT, "ack_emulation": True, "visibility_timeout": _RECORDED_WITHIN_SECONDS}
    return Connection(broker_url(settings.redis_url), transport_options=options)


def send(app: Celery, attempt_id: str, *, queue: str, name: str) -> None:
    """
    Tell a node of an attempt; raise kombu's OperationalError or a socket error if the broker does not take it.

    Goes through the default exchange, which needs no binding in Redis, so that a flushed Redis can route at once.
    `Celery.send_task` would do the same, but twice as slowly: it makes a result and declares the queue each time.
    """
    message = app.amqp.as_task_v2(attempt_id, RUN, (attempt_id,), {}, shadow=f"{RUN} {name}", ignore_result=True)
    with app.amqp.producer_pool.acquire(block=True, timeout=5) as producer:
        producer.publish(
            message.body,
            exchange="",
            routing_key=queue,
            priority=app.conf.task_default_priority,
            serializer="json",
            headers=message.headers,
            **message.properties,
        )


def _leave_logging_alone(**_: Any) -> None:
    """That somebody listens to this signal keeps Celery from setting up logging of its own."""


def _remove_builtin_tasks(app: Celery) -> None:
    """`celery.map` and the like run whatever a message names; whoever reaches Redis must not be able to."""
    app.finalize()
    for name in [name for name in app.tasks if name.startswith("celery.")]:
        app.tasks.unregister(name)
