"""`levare metrics` and `levare compare`: what trainings tell, in a table with curves, and runs beside each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import FAMILY, JOB, SCHEDULE
from levare.cli.sparks import spark

if TYPE_CHECKING:
    from levare.client import Attempt, ComparedMetric, ComparedRun, Comparison, Metrics, Trend
    from levare.client.metrics import Direction

_WIDTH, _POINTS = 30, 120
_FEW, _MOST_COLUMNS = 5, 5
_MOST_PARAMS = 20
_PREFERRED = ("val", "test", "eval", "train", "")


class Way(click.ParamType):
    """`METRIC=min` or `METRIC=max`."""

    name = "metric=min|max"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "tuple[str, Direction]":
        if isinstance(value, tuple):
            return value
        name, _, way = value.rpartition("=")
        if not name or way not in ("min", "max"):
            self.fail(f"{value!r} is not a metric and which way is better, such as score=max.", param, ctx)
        return name, way


def _narrowing(command: Callable[..., Any]) -> Callable[..., Any]:
    best = "Which way is better, of a metric whose name does not say it."
    for option in (
        click.option("--best", type=Way(), multiple=True, help=best),
        click.option("--metric", help="Only this metric."),
        click.option("--stage", help="Only this stage, such as val."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("job", type=JOB)
@click.option("--attempt", type=click.IntRange(min=1), help="Which attempt; the latest by default.")
@click.option(
    "--points",
    type=click.IntRange(2, 10_000),
    default=_POINTS,
    show_default=True,
    help="Points of each curve, at most.",
)
@_narrowing
@terminal.json_option
def metrics(
    job: str,
    *,
    attempt: int | None,
    points: int,
    stage: str | None,
    metric: str | None,
    best: "Sequence[tuple[str, Direction]]",
    as_json: bool,
) -> None:
    """Show what a training tells: each metric in a few numbers and a curve."""
    with terminal.connect() as client:
        told = client.metrics(job, attempt=attempt, stage=stage, name=metric, points=points, best=dict(best))
        attempts = () if told["summary"] or as_json else client.attempts(job)
    if as_json:
        terminal.document(told)
    elif not told["summary"]:
        terminal.note("\n".join([_nothing(job, stage, metric), *left_out(attempts, attempt)]))
    else:
        terminal.show(_table(told))
        _notes(told)


def _nothing(job: str, stage: str | None, metric: str | None) -> str:
    of = " of this stage or name" if stage or metric else ""
    return (
        f"{job} has told no metric{of} yet. `levare.log(loss=0.3, step=1)` in its code tells one; see docs/metrics.md."
    )


def left_out(attempts: "Sequence[Attempt]", number: int | None = None) -> list[str]:
    """How many lines of an attempt, the last by default, were no metrics; nothing where all were."""
    wanted = number or max((each["number"] for each in attempts), default=0)
    lines = sum(each["points_dropped"] for each in attempts if each["number"] == wanted)
    were = "1 line that it told was none, and is" if lines == 1 else f"{lines} lines that it told were none, and are"
    return [f"{were} left out: docs/metrics.md says what a line of metrics is."] if lines else []


def _table(told: "Metrics") -> Any:
    curves = {
        (each["stage"], each["name"]): [point["value"] for point in each["points"]] for each in told["curves"] or ()
    }
    rows = [
        (
            stage or words.NOTHING,
            name,
            words.number(trend["last"]),
            words.number(trend["best"]),
            words.number(trend["best_step"]),
            words.number(trend["mean"]),
            words.number(trend["best_min"]),
            words.number(trend["best_max"]),
            words.number(trend["count"]),
            spark(curves.get((stage, name), []), _WIDTH),
        )
        for stage, trends in told["summary"].items()
        for name, trend in trends.items()
    ]
    heads = ("stage", "metric", "last>", "best>", "at step>", "mean>", "least>", "most>", "points>", "curve")
    return terminal.table(heads, rows, flexible=("metric", "curve"))


def _notes(told: "Metrics") -> None:
    if told["params"]:
        terminal.note(f"given: {given(told['params'])}")
    thinned = told["thinned"]
    if thinned:
        kept, all_of_them = (words.number(thinned[key]) for key in ("kept", "told"))
        terminal.note(f"{kept} of {all_of_them} lines are kept: peaks and their surroundings. The numbers are of all.")


def given(params: Mapping[str, Any]) -> str:
    """`lr=0.1 epochs=20`, not too many."""
    some = [f"{name}={words.short(str(value), 40)}" for name, value in list(params.items())[:_MOST_PARAMS]]
    rest = len(params) - len(some)
    return " ".join(some) + (f" and {rest} more (--json has all)" if rest > 0 else "")


@click.command()
@click.argument("jobs", nargs=-1, type=JOB)
@click.option("--schedule", type=SCHEDULE, help="The last runs of a schedule.")
@click.option("--family", type=FAMILY, help="The last runs of a family (team/project/name).")
@click.option("--last", type=click.IntRange(1, 100), default=20, show_default=True, help="How many of them.")
@_narrowing
@terminal.json_option
def compare(
    jobs: Sequence[str],
    *,
    schedule: str | None,
    family: str | None,
    last: int,
    stage: str | None,
    metric: str | None,
    best: "Sequence[tuple[str, Direction]]",
    as_json: bool,
) -> None:
    """
    Compare jobs or attempts (as k3v9x2m1qa-1), or the last runs of a schedule or family.

    Shown is the best of each metric, or the last of one whose name does not say which way is better.
    """
    if [bool(jobs), schedule is not None, family is not None].count(True) != 1:
        raise click.UsageError("Name jobs, or --schedule, or --family: one of these.")
    only = {"stage": stage, "name": metric, "best": dict(best)}
    with terminal.connect() as client:
        if jobs:
            told = client.compare(jobs, **only)
        else:
            told = client.compare(schedule=schedule, family=family, last=last, **only)
    if as_json:
        terminal.document(told)
        return
    if not told["runs"] or not told["metrics"]:
        terminal.note("None of these runs has told such a metric." if told["runs"] else "There is no such run yet.")
        return
    terminal.show(*(_by_metric(told) if len(told["runs"]) <= _FEW else _by_run(told)))


def _by_metric(told: "Comparison") -> list[Any]:
    """A row for each metric, a column for each run; the best of a row is marked."""
    heads = ("stage", "metric", *(f"{_label(run)}>" for run in told["runs"]))
    rows = [
        (each["stage"] or words.NOTHING, each["name"], *(_cell(each, place) for place in range(len(told["runs"]))))
        for each in told["metrics"]
    ]
    differing = [("", name, *values) for name, values in _differences(told["runs"])]
    return [
        _runs(told["runs"]),
        terminal.title("metrics"),
        terminal.table(heads, [*differing, *rows], flexible=("metric",)),
    ]


def _by_run(told: "Comparison") -> list[Any]:
    """A row for each run, oldest first, a column for each of the metrics that matter most."""
    shown = sorted(told["metrics"], key=_weight)[:_MOST_COLUMNS]
    heads = ("run", "started", "took>", *(f"{_name(each)}>" for each in shown))
    rows = [
        (_label(run), words.clock(run["started_at"]), _took(run), *(_cell(each, place) for each in shown))
        for place, run in enumerate(told["runs"])
    ]
    trends = [(_name(each), spark([_value(trend) for trend in each["runs"]], _WIDTH)) for each in shown]
    left_out = len(told["metrics"]) - len(shown)
    more = [f"{left_out} more metrics: --stage and --metric choose, --json has all."] if left_out > 0 else []
    return [terminal.table(heads, rows, flexible=("run",)), terminal.title("over time"), terminal.facts(trends), *more]


def _runs(runs: "Sequence[ComparedRun]") -> Any:
    heads = ("run", "name", "state", "started", "took>")
    rows = [
        (_label(run), run["name"], terminal.state(run["state"]), words.clock(run["started_at"]), _took(run))
        for run in runs
    ]
    return terminal.table(heads, rows, flexible=("name",))


def _label(run: "ComparedRun") -> str:
    return run["attempt"] or run["job"]


def _took(run: "ComparedRun") -> str:
    return words.NOTHING if run["seconds"] is None else words.span(run["seconds"])


def _name(metric: "ComparedMetric") -> str:
    return f"{metric['stage']} {metric['name']}".strip()


def _weight(metric: "ComparedMetric") -> tuple[bool, int, str]:
    stage = metric["stage"]
    return (
        metric["direction"] is None,
        _PREFERRED.index(stage) if stage in _PREFERRED else len(_PREFERRED),
        metric["name"],
    )


def _value(trend: "Trend | None") -> float | str | None:
    if trend is None:
        return None
    return trend["last"] if trend["best"] is None else trend["best"]


def _cell(metric: "ComparedMetric", place: int) -> Any:
    value, best = _value(metric["runs"][place]), metric["best_run"]
    is_best = best is not None and value == _value(metric["runs"][best])
    text = words.number(value)
    return terminal.cell(f"{text} *", "bold green") if is_best else text


def _differences(runs: "Sequence[ComparedRun]") -> list[tuple[str, list[str]]]:
    """The parameters in which the runs differ."""
    whole = [{**run["params"], **run["parameters"]} for run in runs]
    names = dict.fromkeys(name for each in whole for name in each)
    values = [(name, [words.short(str(each.get(name, words.NOTHING)), 20) for each in whole]) for name in names]
    return [(name, told) for name, told in values if len(set(told)) > 1][:_MOST_PARAMS]
