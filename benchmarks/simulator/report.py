"""The results as tables for people, and as one JSON document."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.simulator.measures import Service, Summary
from benchmarks.simulator.scenarios import NEWCOMER, WEIGHTS, Contended, Contention, Month

_COLUMNS = {
    "used": "utilisation",
    "wait p50": "wait_p50",
    "p95": "wait_p95",
    "small p50": "small_p50",
    "small p95": "small_p95",
    "big p50": "big_p50",
    "big p95": "big_p95",
    "slowdown": "slowdown_mean",
    "head late p90": "head_delay_p90",
    " p95": "head_delay_p95",
    "max": "head_delay_max",
    "promises kept": "promises_kept",
    "late p95": "promise_delay_p95",
    "Jain": "jain",
    "preempted": "preemptions",
    "GPU h lost": "lost_gpu_hours",
}
_NOTES = """\
used: of the GPU-hours between the first submit and the last. Waits and delays in hours. small: one GPU and less than
an hour; big: four GPUs and more. slowdown: mean, bounded. head late: how much later a job that was first in line and
blocked started than if nothing else had been started meanwhile. promises kept: the part of the jobs with a promise
that started by the first one made to them; late: how much later. Jain: of each team's GPU-hours over what its weight
makes due while teams compete."""


def tables(
    month: Month, summaries: Mapping[str, Summary], contention: Contention, contended: Mapping[str, Contended]
) -> str:
    return "\n".join(
        [_heading(month), *_month_table(summaries), "", _NOTES, "", *_contention_table(contention, contended)]
    )


def document(month: Month, summaries: Mapping[str, Summary], contended: Mapping[str, Contended]) -> str:
    found = {
        "month": asdict(month) | {"policies": {name: asdict(row) for name, row in summaries.items()}},
        "contention": {name: _as_json(row) for name, row in contended.items()},
    }
    return json.dumps(found)


def _as_json(row: Contended) -> dict[str, object]:
    return {
        "used_over_due_before": _used_over_due(row.before),
        "used_over_due_after": _used_over_due(row.after),
        "jain": row.jain,
        "newcomer_first_start_hours": row.first_start,
        "newcomer_hundredth_start_hours": row.hundredth_start,
        "longest_gap_hours": row.longest_gap,
    }


def _used_over_due(served: Mapping[str, Service]) -> dict[str, float]:
    return {team: one.used / one.due for team, one in served.items() if one.due}


def _heading(month: Month) -> str:
    return f"{month.days:g} days on the {month.fleet} fleet, load {month.load:g}, seed {month.seed}\n"


def _month_table(summaries: Mapping[str, Summary]) -> list[str]:
    rows = [[name, *(_figure(getattr(row, field)) for field in _COLUMNS.values())] for name, row in summaries.items()]
    return _aligned([["", *_COLUMNS], *rows])


def _contention_table(contention: Contention, contended: Mapping[str, Contended]) -> list[str]:
    weights = ", ".join(f"{team} {weight}" for team, weight in WEIGHTS.items())
    heading = (
        f"{contention.days:g} days of work without end on the small fleet (weights {weights}); on day"
        f" {contention.alone:g} a {NEWCOMER} (1)\nsubmits 1,000 jobs at once. GPU-hours used over due, before | after;"
        " hours until its 1st and 100th start.\ngap: the most hours without a start, of a team that was there before.\n"
    )
    teams = [*WEIGHTS, NEWCOMER]
    rows = [[name, *_contended_row(row, teams)] for name, row in contended.items()]
    return [heading, *_aligned([["", *teams, "Jain", "1st", "100th", "gap"], *rows])]


def _contended_row(row: Contended, teams: Sequence[str]) -> list[str]:
    before, after = _used_over_due(row.before), _used_over_due(row.after)
    cells = [f"{_figure(before.get(team))} | {_figure(after.get(team))}" for team in teams]
    return [*cells, *(_figure(value) for value in (row.jain, row.first_start, row.hundredth_start, row.longest_gap))]


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(_cell(text, widths[i], i) for i, text in enumerate(row)).rstrip() for row in rows]


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)
