"""What the API answers of metrics: lines, curves, what each metric came to, and runs beside each other."""

from typing import Literal

from pydantic import BaseModel, Field

from app.answers import At, JobState, NextCursor, Point

Direction = Literal["min", "max"]
Param = str | bool | int | float


class Trend(BaseModel):
    """One metric in one stage: exact for all that was told."""

    last: float | str = Field(description="NaN and infinities as in a line.", examples=[0.31])
    last_step: int | None = Field(examples=[1000])
    last_at: At | None
    best: float | None = Field(
        description="The least or the greatest, as `direction` says; null where nobody can tell.", examples=[0.29]
    )
    best_step: int | None = Field(description="The step where the best came first.", examples=[900])
    direction: Direction | None = Field(
        description="Which way is better, as it was asked for or by the name: `min` for losses and errors, `max` for "
        "accuracies and scores; null for neither.",
        examples=["min"],
    )
    mean: float | None = Field(description="Of the finite values.", examples=[0.7])
    best_min: float | None = Field(description="The least finite value.", examples=[0.29])
    best_max: float | None = Field(description="The greatest finite value.", examples=[2.3])
    count: int = Field(description="How often it was told.", examples=[100])
    not_finite: int = Field(description="How often of these it was NaN or infinite.", examples=[0])


class CurvePoint(BaseModel):
    step: int | None = Field(examples=[10])
    epoch: float | None = Field(examples=[1.0])
    at: At
    value: float | str = Field(description="NaN and infinities as in a line.", examples=[0.31])


class Curve(BaseModel):
    """One metric in one stage, in points that look like all of them; the first and the last are among them."""

    stage: str = Field(description="Empty for what was told without a stage.", examples=["train"])
    name: str = Field(examples=["loss"])
    points: list[CurvePoint]


class Thinned(BaseModel):
    """
    That not all points are kept, because there are very many.

    Of each stretch of `window_bytes` of the file two of a kind are: the least and the greatest.
    """

    told: int = Field(description="Lines of metrics that were taken.", examples=[1000000])
    kept: int = Field(description="Those of them that are kept.", examples=[31250])
    window_bytes: int = Field(examples=[4096])


class Metrics(BaseModel):
    items: list[Point]
    next_cursor: NextCursor
    curves: list[Curve] | None = Field(
        description="Where `points` was asked for: at most 100 curves, by stage and name. Else null."
    )
    summary: dict[str, dict[str, Trend]] = Field(
        description="By stage and metric; without a stage under an empty name."
    )
    params: dict[str, Param] = Field(
        description="What the training said that it was given.", examples=[{"lr": 0.1, "epochs": 20}]
    )
    thinned: Thinned | None = Field(description="null while all points are kept.")


class ComparedRun(BaseModel):
    """An attempt that is compared."""

    job: str = Field(examples=["k3v9x2m1qa"])
    name: str = Field(examples=["resnet-50"])
    attempt: str = Field(description="Empty for a job that has none yet.", examples=["k3v9x2m1qa-1"])
    state: JobState = Field(description="Of the job.")
    started_at: At | None
    seconds: float | None = Field(description="How long it took; null while it runs.", examples=[3600.5])
    parameters: dict[str, Param] = Field(
        description="What its sweep, schedule or trigger gave it.", examples=[{"lr": 0.1}]
    )
    params: dict[str, Param] = Field(description="What it said that it was given.", examples=[{"epochs": 20}])


class ComparedMetric(BaseModel):
    """One metric in one stage, of each run."""

    stage: str = Field(examples=["val"])
    name: str = Field(examples=["loss"])
    direction: Direction | None = Field(description="Which way is better; null where nobody can tell.")
    best_run: int | None = Field(description="Which of the runs has the best, from 0; null of fewer than two.")
    runs: list[Trend | None] = Field(description="In the order of the runs; null for one that did not tell it.")


class Comparison(BaseModel):
    runs: list[ComparedRun]
    metrics: list[ComparedMetric] = Field(description="By stage and name.")
