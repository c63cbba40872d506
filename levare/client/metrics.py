"""What the API answers of metrics, and runs beside each other."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from levare.client.answers import Point
from levare.client.parts import given
from levare.client.wire import Wire

Direction = Literal["min", "max"]


class Trend(TypedDict):
    """
    What became of one metric in one stage.

    `best` is the least or the greatest as `direction` says, both None where nobody can tell.
    """

    last: float | str
    last_step: int | None
    last_at: str | None
    best: float | None
    best_step: int | None
    direction: Direction | None
    mean: float | None
    best_min: float | None
    best_max: float | None
    count: int
    not_finite: int


class CurvePoint(TypedDict):
    step: int | None
    epoch: float | None
    at: str
    value: float | str


class Curve(TypedDict):
    """One metric in one stage, in points that look like all of them."""

    stage: str
    name: str
    points: list[CurvePoint]


class Thinned(TypedDict):
    """Of `told` points so many are `kept`: of each `window_bytes` of the file the least and the greatest of a kind."""

    told: int
    kept: int
    window_bytes: int


class Metrics(TypedDict):
    """`curves` is None unless `points` were asked for, `thinned` is None while all points are kept."""

    items: list[Point]
    next_cursor: str | None
    curves: list[Curve] | None
    summary: dict[str, dict[str, Trend]]
    params: dict[str, Any]
    thinned: Thinned | None


class ComparedRun(TypedDict):
    job: str
    name: str
    attempt: str
    state: str
    started_at: str | None
    seconds: float | None
    parameters: dict[str, Any]
    params: dict[str, Any]


class ComparedMetric(TypedDict):
    """One metric of each run, None for one that did not tell it; `best_run` is the place of the best."""

    stage: str
    name: str
    direction: Direction | None
    best_run: int | None
    runs: list[Trend | None]


class Comparison(TypedDict):
    runs: list[ComparedRun]
    metrics: list[ComparedMetric]


class MetricCalls:
    """The methods of metrics."""

    _wire: Wire

    def compare(
        self,
        jobs: Sequence[str] | None = None,
        *,
        schedule: str | None = None,
        family: str | None = None,
        last: int | None = None,
        stage: str | None = None,
        name: str | None = None,
        best: Mapping[str, Direction] | None = None,
    ) -> Comparison:
        """
        Jobs or attempts (as `k3v9x2m1qa-1`) beside each other, or the `last` runs of a schedule or a family.

        `best` says which way is better of metrics whose name does not.
        """
        wanted = {"job": list(jobs or ()) or None, "schedule": schedule, "family": family, "last": last}
        params = wanted | {"stage": stage, "name": name, "best": ways(best)}
        return self._wire.ask("GET", "/v1/compare", params=given(params))


def ways(best: Mapping[str, Direction] | None) -> list[str] | None:
    """As the API takes them."""
    return [f"{name}:{way}" for name, way in best.items()] if best else None
