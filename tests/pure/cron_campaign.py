"""
levare's due times against the oracle's: `python -m tests.pure.cron_campaign` compares 200 expressions in 30 zones over
10 years.

What is due rarely is compared as a whole, forward and backward; what is due often around each change of the clocks, and
at random instants. Every instant that either side names, and every answer to a question, counts as one comparison.
"""

import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from random import Random

from levare.decide.times import Cron, Rule, between, latest, next_after, previous, zone_named
from tests.pure.cron_oracle import DAY, Clocks, due, instant_of, minute_of

BEGIN, END = minute_of(datetime(2010, 1, 1, tzinfo=UTC)), minute_of(datetime(2020, 1, 1, tzinfo=UTC))
ZONES = """
UTC Asia/Kolkata Europe/Lisbon Europe/London Europe/Berlin Europe/Moscow Europe/Istanbul Africa/Casablanca Africa/Cairo
Asia/Tehran Asia/Gaza Asia/Beirut Asia/Pyongyang Australia/Lord_Howe Australia/Sydney Pacific/Apia Pacific/Fakaofo
Pacific/Chatham Pacific/Norfolk Antarctica/Troll Antarctica/Casey America/New_York America/Sao_Paulo America/Havana
America/Santiago America/Asuncion America/Caracas America/St_Johns America/Scoresbysund Atlantic/Azores
"""
WRITTEN = """
0 0 * * *|0 1 * * *|0 2 * * *|30 2 * * *|0 3 * * *|30 1 * * *|59 23 * * *|0,30 2 * * *|0 2,3 * * *|15,45 1-3 * * *
*/5 * * * *|* * * * *|0 * * * *|30 */2 * * *|*/10 2 * * *|* 1 * * *|*/15 0 * * SUN|*/7 23,0 * * *|30 * * * *|0 */5 * * *
0 0 L * *|30 2 L * *|0 4 LW * *|0 2 * * 5L|30 1 * * SUN#2|0 3 * * 0#1|0 2 * * SUN#5|0 0 * * 7|30 2 1 * MON|0 0 31 * *
0 0 29 2 *|0 12 13 * FRI|0 0 */2 * *|0 2 */3 * SUN|30 0 */5 * */2|0 9 * * MON-FRI|0 9-17/2 * * 1-5|0 2 * MAR,NOV SUN
5/20 2 * * *|1 0 1 1 *|0 0 1 JAN *|30 2 8-14 3 0|30 1 25-31 OCT SUN|0 3 25-31 MAR *|0 22 * * FRI-SAT|0 6 15 */3 *
15 0 30 12 *|0 10 30 12 *|30 23 29,30,31 12 *|0 0 1-7 * *|10-50/20 1 * * *|0 0 * 10 SUN|0 0 15,L * *|0 5 * * 1,3L,4#2
""".replace("\n", "|")
SPARSE, PROBES = 1000, 6
NEAR = timedelta(hours=28)


def expressions(number: int, seed: int = 1) -> list[str]:
    """Those written above, then random ones of which many are due at night, when clocks change."""
    dice = Random(seed)
    found = dict.fromkeys(text for text in WRITTEN.split("|") if text)
    while len(found) < number:
        found[_random(dice)] = None
    return [*found][:number]


def _random(dice: Random) -> str:
    minute = dice.choice(
        [_one(dice, 0, 59), _one(dice, 0, 59), "0", "30", _list(dice, 0, 59), "*/20", _range(dice, 0, 59)]
    )
    night = dice.choice([_one(dice, 0, 4), _one(dice, 0, 4), _list(dice, 0, 5), _range(dice, 0, 6)])
    hour = dice.choice([night, night, night, _one(dice, 0, 23), "*", "*/3", _range(dice, 0, 23)])
    day = dice.choice(["*", "*", "*", _one(dice, 1, 31), _list(dice, 1, 31), "L", "LW", "*/4", _range(dice, 1, 31)])
    month = dice.choice(["*", "*", "*", _one(dice, 1, 12), _list(dice, 1, 12), "MAR,OCT,NOV", "*/5", "JAN-APR"])
    sunday = dice.choice(
        ["SUN", "0", "7", f"SUN#{dice.randint(1, 5)}", "0L", f"{_one(dice, 0, 6)}#{dice.randint(1, 5)}"]
    )
    weekday = dice.choice(["*", "*", "*", sunday, sunday, _list(dice, 0, 7), "MON-THU", "*/2", _range(dice, 0, 7)])
    return f"{minute} {hour} {day} {month} {weekday}"


def _one(dice: Random, least: int, most: int) -> str:
    return str(dice.randint(least, most))


def _list(dice: Random, least: int, most: int) -> str:
    return ",".join(str(number) for number in sorted(dice.sample(range(least, most + 1), 3)))


def _range(dice: Random, least: int, most: int) -> str:
    first, last = sorted(dice.sample(range(least, most + 1), 2))
    return f"{first}-{last}" + dice.choice(["", "", "/2", "/3"])


@dataclass
class Tally:
    """What has been compared, and where the two differ."""

    comparisons: int = 0
    differences: int = 0
    first: str = ""

    def compare(self, question: str, ours: Sequence[datetime | None], theirs: Sequence[datetime | None]) -> None:
        self.comparisons += max(len(ours), len(theirs), 1)
        if list(ours) != list(theirs):
            wrong = sorted(str(each) for each in {*ours} ^ {*theirs})
            self.differences += max(len(wrong), 1)
            self.first = self.first or f"{question}: {wrong[:4]}"


def compare(text: str, clocks: Clocks, tally: Tally, dice: Random) -> None:
    """One expression in one zone."""
    rule = Rule(Cron.parse(text), zone_named(clocks.zone))
    expected = [int(minute) for minute in due(text, clocks)]
    for begin, end in _stretches(clocks, len(expected)):
        _compare_stretch(rule, expected, begin, end, tally)
    for instant in _instants(clocks, dice):
        _compare_probe(rule, expected, instant, tally)


def _stretches(clocks: Clocks, size: int) -> Iterator[tuple[datetime, datetime]]:
    """Both ends exclusive: all of it but a day at each end, where the oracle lacks the past, or around each change."""
    if size <= SPARSE:
        yield instant_of(clocks.begin + DAY), instant_of(clocks.end - DAY)
        return
    for place in clocks.changes:
        at = instant_of(clocks.begin + place)
        yield at - NEAR, at + NEAR


def _compare_stretch(rule: Rule, expected: list[int], begin: datetime, end: datetime, tally: Tally) -> None:
    assert isinstance(rule.when, Cron)
    theirs = expected[bisect_right(expected, minute_of(begin)) : bisect_left(expected, minute_of(end))]
    instants = [instant_of(minute) for minute in theirs]
    question = f"{rule.when.text} in {rule.zone} from {begin} until {end}"
    tally.compare(question, between(rule, begin, end - timedelta(seconds=1), 10**6), instants)
    backward = takewhile(lambda instant: instant > begin, rule.when.before(end, rule.zone))
    tally.compare(f"{question} backward", [*backward], instants[::-1])


def _instants(clocks: Clocks, dice: Random) -> Iterator[datetime]:
    """Some anywhere, some within hours of a change, one right at it."""
    for _ in range(PROBES):
        yield instant_of(dice.randrange(clocks.begin + DAY, clocks.end - DAY)) + _fraction(dice)
    for place in dice.sample(clocks.changes, min(PROBES, len(clocks.changes))):
        at = instant_of(clocks.begin + place)
        yield from (
            at,
            at - timedelta(microseconds=1),
            at + timedelta(minutes=dice.randint(-240, 240)) + _fraction(dice),
        )


def _fraction(dice: Random) -> timedelta:
    return dice.choice([timedelta(), timedelta(seconds=30), timedelta(microseconds=1), timedelta(seconds=59.5)])


def _compare_probe(rule: Rule, expected: list[int], instant: datetime, tally: Tally) -> None:
    """Next, previous and latest, unless the answer lies beyond the table."""
    whole = minute_of(instant)
    place = bisect_right(expected, whole)
    before = bisect_right(expected, whole - (instant == instant_of(whole)))
    text = f"{rule.when} in {rule.zone} at {instant}"
    if place < len(expected):
        tally.compare(f"next {text}", [next_after(rule, instant)], [instant_of(expected[place])])
    if before > 0:
        found = instant_of(expected[before - 1])
        tally.compare(f"previous {text}", [previous(rule, instant)], [found])
        tally.compare(f"latest {text}", [latest(rule, found - timedelta(1), instant - timedelta.resolution)], [found])


def campaign(texts: Sequence[str], zones: Sequence[str], begin: int = BEGIN, end: int = END) -> Tally:
    """All expressions in all zones; the same dice each time."""
    tally, dice = Tally(), Random(2)
    for zone in zones:
        clocks = Clocks(zone, begin, end)
        for text in texts:
            compare(text, clocks, tally, dice)
    return tally


def main() -> int:
    started = time.monotonic()
    texts, total = expressions(200), Tally()
    for zone in ZONES.split():
        tally = campaign(texts, [zone])
        total = Tally(total.comparisons + tally.comparisons, total.differences + tally.differences)
        sys.stdout.write(
            f"{zone:24} {tally.comparisons:>10,} comparisons, {tally.differences} differences {tally.first}\n"
        )
        sys.stdout.flush()
    took = time.monotonic() - started
    sys.stdout.write(f"{len(texts)} expressions, {len(ZONES.split())} zones, {total.comparisons:,} comparisons, ")
    sys.stdout.write(f"{total.differences} differences, {took:.0f} s\n")
    return min(total.differences, 1)


if __name__ == "__main__":
    sys.exit(main())
