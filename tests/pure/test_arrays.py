import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.arrays import command, environment, follow, names, parameters, size_of, wrong_placeholders
from levare.model import ArrayState, Elements

GRID = {"lr": [0.1, 0.01], "seed": [1, 2, 3]}


def of_grid(grid: dict[str, list[object]]) -> Elements:
    return Elements(size_of(grid), grid=tuple(grid.items()))  # pyright: ignore[reportArgumentType]


def an_array(*, state: str = "running", size: int = 3, cancel: bool = False, bad: tuple[int, ...] = (), **counts: int):
    return ArrayState("a", state, size, counts, bad, cancel)


def test_a_grid_is_every_combination_the_last_name_fastest():
    found = [parameters(of_grid(GRID), index) for index in range(6)]

    assert [tuple(each.values()) for each in found] == [(0.1, 1), (0.1, 2), (0.1, 3), (0.01, 1), (0.01, 2), (0.01, 3)]
    assert list(found[0]) == ["lr", "seed"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_no_two_elements_of_a_grid_are_the_same(lengths: list[int]):
    elements = of_grid({f"p{place}": list(range(length)) for place, length in enumerate(lengths)})

    assert len({tuple(parameters(elements, index).values()) for index in range(elements.size)}) == elements.size


def test_one_element_of_a_huge_grid_costs_no_more_than_of_a_small_one():
    elements = of_grid({name: list(range(100)) for name in "abcdefghij"})

    assert parameters(elements, 100**10 - 1) == dict.fromkeys("abcdefghij", 99)


def test_a_list_gives_each_element_its_row():
    assert parameters(Elements(2, rows=({"lr": 1}, {"lr": 2})), 1) == {"lr": 2}


def test_values_stand_in_for_braces_in_arguments_and_never_in_the_program():
    given_values = {"lr": 0.1, "net": "a {b}", "fast": True}

    filled = command(["{lr}", "--lr={lr}", "{net}", "{fast}", "{{lr}}", "x{index}"], 7, given_values)

    assert filled == ["{lr}", "--lr=0.1", "a {b}", "true", "{lr}", "x7"]


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("{lr}", []),
        ("{index}", []),
        ("{{x}}", []),
        ("{x}", ["{x}"]),
        ("{", ["{"]),
        ("a}", ["}"]),
        ("{lr!r}", ["{", "}"]),
    ],
)
def test_braces_that_name_nothing_are_found(argument: str, wrong: list[str]):
    found = wrong_placeholders(["{program}", argument], names(of_grid(GRID)))

    assert found == [(1, each) for each in wrong]


def test_an_element_finds_its_parameters_in_its_environment():
    assert environment(4, 10, {"lr": 0.1, "net": "big", "fast": False}) == {
        "LEVARE_ARRAY_INDEX": "4",
        "LEVARE_ARRAY_SIZE": "10",
        "LEVARE_PARAM_LR": "0.1",
        "LEVARE_PARAM_NET": "big",
        "LEVARE_PARAM_FAST": "false",
    }


@pytest.mark.parametrize(
    ("array", "state", "reason"),
    [
        (an_array(state="waiting", running=1, succeeded=2), "running", None),
        (an_array(succeeded=3), "succeeded", "All 3 elements succeeded."),
        (an_array(state="waiting", succeeded=3), "succeeded", "All 3 elements succeeded."),
        (an_array(succeeded=1, failed=2, bad=(0, 2)), "failed", "2 of 3 elements failed: 0, 2."),
        (an_array(succeeded=2, cancelled=1, bad=(1,)), "failed", "1 of 3 elements were cancelled: 1."),
        (an_array(cancel=True, succeeded=1, cancelled=1), "cancelled", "Cancelled after 1 of 3 elements had ended."),
        (an_array(cancel=True, succeeded=3), "succeeded", "All 3 elements succeeded."),
        (an_array(cancel=True, state="waiting", running=1), "running", None),
    ],
)
def test_an_array_follows_its_elements(array: ArrayState, state: str, reason: str | None):
    (move,) = follow([array])

    assert (move.state, move.reason) == (state, reason)


def test_an_array_that_runs_stays_so_while_an_element_does():
    assert not follow([an_array(waiting=1, succeeded=1, failed=1)])


def test_of_many_failures_some_are_named():
    (move,) = follow([an_array(size=200, succeeded=185, failed=15, bad=tuple(range(15)))])

    assert move.reason == "15 of 200 elements failed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 5 more."
