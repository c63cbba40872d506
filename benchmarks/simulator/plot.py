"""The share of the GPU-hours that each team gets over time, against what is due to it: an SVG written by hand."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from html import escape

from benchmarks.simulator.measures import Service
from benchmarks.simulator.scenarios import NEWCOMER, WEIGHTS, Contended

_WIDTH, _LEFT, _RIGHT, _TOP = 860, 56, 110, 64
_PANEL, _GAP = 190, 62
_TEAMS = [*WEIGHTS, NEWCOMER]
_DAY = timedelta(days=1)
_STYLE = """
    .paper { fill: #ffffff } .grid { stroke: #d8dee4 } text { fill: #57606a; font-size: 12px }
    path { fill: none; stroke-width: 2; stroke-linejoin: round } .due { stroke-dasharray: 5 4; stroke-width: 1.5 }
    .t0 { stroke: #0969da } .t1 { stroke: #bc4c00 } .t2 { stroke: #1a7f37 } text.t { stroke: none }
    text.t0 { fill: #0969da } text.t1 { fill: #bc4c00 } text.t2 { fill: #1a7f37 }
    .panel, .title { fill: #1f2328; font-size: 13px } .title { font-size: 15px; font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117 } .grid { stroke: #30363d } text { fill: #9198a1 } .panel, .title { fill: #e6edf3 }
      .t0 { stroke: #58a6ff } .t1 { stroke: #f0883e } .t2 { stroke: #3fb950 }
      text.t0 { fill: #58a6ff } text.t1 { fill: #f0883e } text.t2 { fill: #3fb950 }
    }
"""


def draw(panels: Sequence[Contended]) -> str:
    """One panel a policy, above each other; readable on a light and on a dark page."""
    height = _TOP + len(panels) * (_PANEL + _GAP)
    weights = " : ".join(f"{team} {weight}" for team, weight in WEIGHTS.items())
    title = escape(f"GPU-hours of each team: {weights}, and a {NEWCOMER} (1) with 1,000 jobs at once")
    look = f'viewBox="0 0 {_WIDTH} {height}" font-family="system-ui, sans-serif"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {look} role="img" aria-label="{title}">',
        f"  <style>{_STYLE}  </style>",
        f'  <rect class="paper" width="{_WIDTH}" height="{height}"/>',
        f'  <text class="title" x="{_LEFT}" y="28">{title}</text>',
        f'  <text x="{_LEFT}" y="48">solid: what each team used; dashed: what its weight made due</text>',
    ]
    lines += [_panel(panel, _TOP + 22 + number * (_PANEL + _GAP)) for number, panel in enumerate(panels)]
    return "\n".join([*lines, "</svg>\n"])


def _panel(panel: Contended, top: float) -> str:
    width = (panel.over_time[1][0] - panel.over_time[0][0]) / _DAY
    last = panel.over_time[-1][0] / _DAY + width
    lines, ends = [_frame(panel.policy, top, last)], dict[int, float]()
    for number, team in enumerate(_TEAMS):
        seen = [(at / _DAY, served) for at, served in panel.over_time if team in served]
        used = [(day + width / 2, _part(served, team, "used")) for day, served in seen]
        due = [(edge, _part(served, team, "due")) for day, served in seen for edge in (day, day + width)]
        lines += [_line(due, f"t{number} due", top, last), _line(used, f"t{number}", top, last)]
        ends[number] = _y(used[-1][1], top) + 4 if used else top + _PANEL
    return "\n".join([*lines, *_labels(ends)])


def _labels(ends: Mapping[int, float]) -> Iterator[str]:
    """The teams' names at the ends of their lines, pushed up where they would cover each other."""
    above = float("inf")
    for number, y in sorted(ends.items(), key=lambda end: -end[1]):
        above = min(y, above - 14)
        x = _WIDTH - _RIGHT + 6
        yield f'  <text class="t t{number}" x="{x}" y="{above:.1f}">{escape(_TEAMS[number])}</text>'


def _part(served: Mapping[str, Service], team: str, what: str) -> float:
    total = sum(getattr(one, what) for one in served.values())
    return getattr(served[team], what) / total if total else 0.0


def _frame(policy: str, top: float, last: float) -> str:
    rows = (_gridline(percent, _y(percent / 100, top)) for percent in (0, 25, 50, 75, 100))
    days = (_day(day, _x(day, last), top) for day in range(0, int(last) + 1, max(1, round(last / 12))))
    return "\n".join([f'  <text class="panel" x="{_LEFT}" y="{top - 8:.0f}">{escape(policy)}</text>', *rows, *days])


def _gridline(percent: int, y: float) -> str:
    line = f'  <path class="grid" d="M{_LEFT} {y:.1f} H{_WIDTH - _RIGHT}" style="stroke-width:1"/>'
    return f'{line}<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}%</text>'


def _day(day: int, x: float, top: float) -> str:
    return f'  <text x="{x:.1f}" y="{top + _PANEL + 18:.1f}" text-anchor="middle">day {day}</text>'


def _line(points: Sequence[tuple[float, float]], style: str, top: float, last: float) -> str:
    path = " L".join(f"{_x(day, last):.1f} {_y(part, top):.1f}" for day, part in points)
    return f'  <path class="{style}" d="M{path}"/>' if points else ""


def _x(day: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * day / last


def _y(part: float, top: float) -> float:
    return top + _PANEL * (1 - part)
