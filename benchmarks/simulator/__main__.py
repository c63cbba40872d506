"""Run the policies on the month and on contention, and print what came out."""

import argparse
from pathlib import Path

from benchmarks.simulator import __doc__ as usage
from benchmarks.simulator.fleet import FLEETS
from benchmarks.simulator.plot import draw
from benchmarks.simulator.report import document, tables
from benchmarks.simulator.scenarios import POLICIES, Contention, Month, compare, contend


def main() -> None:
    asked = _asked()
    days = asked.days or (4 if asked.quick else 30)
    month = Month(asked.fleet or ("small" if asked.quick else "large"), days, asked.load, asked.seed)
    length, alone = asked.contention or ((3, 1) if asked.quick else (12, 4))
    contention = Contention(length, alone, asked.seed)
    summaries = compare(month, asked.policies)
    contended = contend(contention, asked.policies)
    if asked.plot:
        asked.plot.write_text(
            draw([contended[name] for name in dict.fromkeys((asked.policies[0], asked.policies[-1]))])
        )
    print(document(month, summaries, contended) if asked.json else tables(month, summaries, contention, contended))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulator", description=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=float, help="30, or 4 with --quick")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load", type=float, default=0.9, help="offered work as a share of the fleet's, 0.9")
    parser.add_argument("--fleet", choices=FLEETS, help="large, or small with --quick")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument(
        "--contention",
        type=float,
        nargs=2,
        metavar=("DAYS", "ALONE"),
        help="how long, and after how many days the newcomer comes: 12 4, or 3 1 with --quick",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--quick", action="store_true", help="a few days on four machines, in seconds")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="PATH.svg",
        help="draw the teams' shares under contention, with the first and the last policy",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
