"""Pipelines: jobs that are submitted together, each a step that may need others of them."""

from pydantic import Field

from levare.manifest.jobs import JobRequest
from levare.manifest.patterns import ONE_LINE, STEP
from levare.manifest.values import Body

_MOST_STEPS = 200


class StepRequest(JobRequest):
    """A job of a pipeline; `needs` may name steps of the same pipeline as well as jobs."""

    step: str = Field(
        pattern=STEP,
        description="Its name in the pipeline, and that of the job where it has none.",
        examples=["train"],
    )


class PipelineRequest(Body):
    """Jobs that are submitted together, all or none."""

    name: str = Field("", pattern=ONE_LINE, max_length=200, description="For people.", examples=["nightly"])
    jobs: list[StepRequest] = Field(min_length=1, max_length=_MOST_STEPS, description="Its steps, in any order.")

    def check(self) -> None:
        """Raise InvalidArray for an array that cannot be meant."""
        for job in self.jobs:
            job.check()
