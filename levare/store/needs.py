"""What the steps of a pipeline take over from each other."""

from sqlalchemy import Connection, bindparam, select

from levare.store.tables import jobs, needs


def inputs_of(connection: Connection, job_id: str, *, pipeline: str) -> list[tuple[str, str]]:
    """The steps of its own pipeline that a job needs, with the ids of their jobs."""
    rows = connection.execute(_INPUTS, {"job": job_id, "pipeline_id": pipeline})
    return [(row.step, row.id) for row in rows]


_INPUTS = (
    select(jobs.c.step, jobs.c.id)
    .join(needs, needs.c.needed_id == jobs.c.id)
    .where(needs.c.job_id == bindparam("job"), jobs.c.pipeline == bindparam("pipeline_id"))
    .order_by(jobs.c.step)
)
