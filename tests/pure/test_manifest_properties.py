"""Whatever is in a manifest, it is read or refused in words; and what is written is read as it was."""

import json
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levare.errors import LevareError
from levare.manifest import InvalidManifest, Problem, declared, read, write
from levare.manifest.kinds import KINDS, OF_KIND
from levare.manifest.tree import parse, source_of
from levare.manifest.writing import scalar
from levare.model import Declared

FLEET = Path(__file__).parents[2] / "examples" / "fleet" / "levare.yaml"
TEXT = FLEET.read_text()
PLAIN: dict[str, Any] = parse(source_of("fleet", FLEET.read_bytes())).plain()
NUMBERS = [0, -1, 1 << 70, 0.5, float("nan"), float("inf"), True, None]
STRINGS = [
    "",
    "x" * 5000,
    "\u2028",
    "é\U0001f600",
    "${",
    "${X}",
    "$${A}",
    "{x}",
    "{{",
    "*a",
    "!t",
    "- a",
    "# c",
    "2h",
    "~",
]
THINGS = [*NUMBERS, *STRINGS, [], {}, [[]], [{}], {"secret": "A"}, {"from": "a.b"}, {"a": {"b": {"c": 1}}}]
NAMES = ["", "<<", "null", "1", "job", "parameters", "secret", "é"]
ODD = "{}[]:,#&*!|>'\"%@`\\\x00\x07\x85\u2028\ufeffé\U0001f600-?~$\t\r"

Mutation = Callable[[random.Random, list[str]], None]
seeds = st.integers(0, 1 << 32)
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tried(file: Path, data: bytes) -> None:
    """Read it, and be refused by nothing but problems that stand in the file."""
    file.write_bytes(data)
    for environment in (None, "staging"):
        for problem in problems_of(file, environment):
            assert problem.message
            assert 0 <= problem.place.line <= len(problem.place.source.lines) + 1
            json.dumps(problem.document).encode()


def problems_of(file: Path, environment: str | None) -> Sequence[Problem]:
    try:
        read([file], environment=environment)
    except InvalidManifest as error:
        return error.problems or pytest.fail("It is refused, and nobody knows why.")
    return ()


def delete(dice: random.Random, lines: list[str]) -> None:
    del lines[dice.randrange(len(lines))]


def double(dice: random.Random, lines: list[str]) -> None:
    lines.insert(dice.randrange(len(lines)), dice.choice(lines))


def swap(dice: random.Random, lines: list[str]) -> None:
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def indent(dice: random.Random, lines: list[str]) -> None:
    place = dice.randrange(len(lines))
    lines[place] = dice.choice([" ", "  ", "\t", "    "]) + lines[place]


def scribble(dice: random.Random, lines: list[str]) -> None:
    place = dice.randrange(len(lines))
    line, column = lines[place], dice.randrange(len(lines[place]) + 1)
    lines[place] = line[:column] + dice.choice(ODD) + line[column + dice.randrange(3) :]


def nest(dice: random.Random, lines: list[str]) -> None:
    lines[dice.randrange(len(lines))] += dice.choice("[{") * dice.randrange(1, 2000)


def cut(dice: random.Random, lines: list[str]) -> None:
    del lines[dice.randrange(1, len(lines)) :]


MUTATIONS: list[Mutation] = [delete, double, swap, indent, scribble, nest, cut]


@many
@given(seed=seeds, mutations=st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=4))
def test_a_spoilt_text_is_read_or_refused(seed: int, mutations: list[Mutation], tmp_path: Path):
    dice, lines = random.Random(seed), TEXT.split("\n")
    for mutation in mutations:
        if len(lines) > 1:
            mutation(dice, lines)

    tried(tmp_path / "levare.yaml", "\n".join(lines).encode())


def spoilt(value: Any, dice: random.Random, depth: int = 0) -> Any:
    """The same with one thing otherwise: renamed, gone, of another type, or there twice."""
    if isinstance(value, dict) and value and (depth < 1 or dice.random() < 0.8):
        name = dice.choice(list(value))
        if depth > 1 and dice.random() < 0.4:
            return renamed(value, name, dice)
        return {**value, name: spoilt(value[name], dice, depth + 1)}
    if isinstance(value, list) and value and dice.random() < 0.8:
        place = dice.randrange(len(value))
        return [*value[:place], spoilt(value[place], dice, depth + 1), *value[place + dice.randrange(2) :]]
    return dice.choice(THINGS)


def renamed(value: dict[str, Any], name: str, dice: random.Random) -> dict[str, Any]:
    others = {other: each for other, each in value.items() if other != name}
    new = dice.choice([name[:-1], f"{name}s", name.upper(), *NAMES])
    return dice.choice([others, {**others, new: value[name]}, {**value, new: dice.choice([value, *THINGS])}])


@many
@given(seed=seeds, times=st.integers(1, 3))
def test_a_spoilt_document_is_read_or_refused(seed: int, times: int, tmp_path: Path):
    dice, document = random.Random(seed), PLAIN
    for _ in range(times):
        document = spoilt(document, dice)

    tried(tmp_path / "levare.yaml", json.dumps(document, ensure_ascii=False).encode())


@many
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes, tmp_path: Path):
    tried(tmp_path / "levare.yaml", data)


def test_a_bomb_of_aliases_is_refused_before_it_goes_off(tmp_path: Path):
    lines = [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in pairwise("abcdefghij")]
    (tmp_path / "levare.yaml").write_text("\n".join(["version: 1", "a: &a [x]", *lines]))

    with pytest.raises(InvalidManifest, match="too large"):
        read([tmp_path / "levare.yaml"])


def test_what_is_too_large_is_refused_unread(tmp_path: Path):
    (tmp_path / "levare.yaml").write_text("#" * (9 << 20))

    with pytest.raises(InvalidManifest, match="bytes large"):
        read([tmp_path / "levare.yaml"])


LIKE_NUMBERS = ["012", "0x1f", "1e3", "-5", ".5", ".nan", "12:30:45", "2030-01-01", "1_000", "+1"]
LIKE_WORDS = [
    "yes",
    "~",
    "null",
    "true",
    "<<",
    "=",
    "- a",
    "a: b",
    "a #b",
    "--x",
    "- ",
    "?",
    "a ",
    "-",
    "$${A}",
    "${A}",
]
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from([*LIKE_NUMBERS, *LIKE_WORDS, "\t", "\n", "\r\n", "\x00", "\x85", "\u2028", "\ufeff", "\U0001f600"]),
)


@settings(deadline=None)
@given(texts)
def test_a_text_is_written_so_that_it_is_read_as_it_was(text: str):
    tree = parse(source_of("a", f"a: {scalar(text)}\nb: [{scalar(text)}, {scalar(text)}]\n".encode()))

    escaped = text.replace("${", "$${")  # until variables are filled
    assert tree.plain() == {"a": escaped, "b": [escaped, escaped]}


def changed(each: Declared, dice: random.Random) -> Declared:
    """The object with two fields otherwise, where it has them."""
    known = OF_KIND[each.kind].model.model_fields
    extras = {name: value for name, value in others(dice).items() if name in known}
    for _ in range(5):
        chosen = dict(dice.sample(sorted(extras.items()), k=min(2, len(extras))))
        try:
            return declared(each.kind, each.name, {**each.document, **chosen})
        except (LevareError, ValueError):
            continue
    return each


def others(dice: random.Random) -> dict[str, Any]:
    seconds, mib = dice.choice([1, 59, 90, 3600, 5400, 86400, 90061]), dice.choice([1, 100, 1024, 1536])
    text = dice.choice(["a", "yes", "012", "ü: ${X}", "- #", "$${", "2h", "\U0001f600"])
    return {
        "description": text,
        "timeout_seconds": seconds,
        "memory_mib": mib,
        "max_lateness_seconds": seconds,
        "jitter_seconds": seconds % 86400,
        "parameters": {"a": text, "b": seconds, "c": 0.5, "d": True},
        "quota": {"gpu_hours": seconds / 7, "period_seconds": 3600 + seconds},
        "severity": dice.choice(["info", "critical"]),
        "price": mib / 3,
        "members": dice.choice([{"ada": "admin"}, {"ben": "viewer", "eve": "member"}]),
        "weight": 1 + seconds / 11,
    }


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read_as_the_same_objects(seed: int, tmp_path: Path):
    dice = random.Random(seed)
    objects = tuple(changed(each, dice) for each in read([FLEET]).objects)
    file = tmp_path / "levare.yaml"

    file.write_text(write(objects))

    assert read([file]).objects == objects
    assert write(read([file]).objects) == file.read_text()


def test_what_is_kept_of_a_document_is_kept_of_what_is_kept():
    for each in read([FLEET]).objects:
        assert declared(each.kind, each.name, each.document) == each


def test_the_fleet_has_an_object_of_each_kind_but_windows():
    assert {each.kind for each in read([FLEET]).objects} == {kind.name for kind in KINDS} - {"window"}
