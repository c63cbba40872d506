"""What differs between a failure and the last good run."""

from typing import Any

from levare.decide.differences import Difference, Ran, differences

CODE = {"commit": "a" * 40, "branch": "main", "dirty": False, "diff": None}


def ran(**changes: Any) -> Ran:
    found: dict[str, Any] = {"code": CODE, "packages": ["numpy==1.26.4", "torch==2.5.0"], "driver": "550.1"}
    return Ran("atlas", ["python", "train.py"], found=found | changes.pop("found", {}), **changes)


def test_equal_runs_differ_in_nothing():
    assert differences(ran(), ran()) == []


def test_another_commit_and_changes_that_are_not_committed_are_told():
    other = ran(found={"code": CODE | {"commit": "b" * 40, "dirty": True, "diff": "c0ffee"}})

    assert differences(ran(), other) == [
        Difference("code", "commit", "a" * 10, "b" * 10),
        Difference("code", "uncommitted changes", "none", "some (c0ffee)"),
    ]


def test_packages_are_told_by_name_also_those_that_came_and_went():
    other = ran(found={"packages": ["numpy==2.1.0", "jax==0.5"]})

    assert differences(ran(), other) == [
        Difference("dependencies", "numpy", "1.26.4", "2.1.0"),
        Difference("dependencies", "torch", "2.5.0", None),
        Difference("dependencies", "jax", None, "0.5"),
    ]


def test_many_packages_are_counted():
    other = ran(found={"packages": [f"p{number}==1" for number in range(50)]})

    assert differences(ran(), other)[-1] == Difference("dependencies", "more packages", None, "32 more differ")


def test_what_nobody_looked_at_is_no_difference():
    assert differences(ran(found={"code": None, "packages": None, "driver": "550.1"}), ran()) == []


def test_configuration_data_node_and_driver_are_told_each_by_its_name():
    good = ran(env={"SEED": "1", "LEVARE_DATA": "v1"}, parameters={"lr": 0.1}, request={"gpus": 1})
    bad = ran(
        env={"SEED": "2", "LEVARE_DATA": "v2"}, parameters={"lr": 0.2}, request={"gpus": 2}, found={"driver": "560"}
    )

    kinds = [(each.kind, each.name) for each in differences(good, bad)]
    assert kinds == [
        ("configuration", "lr"),
        ("configuration", "SEED"),
        ("configuration", "gpus"),
        ("data", "id"),
        ("driver", "NVIDIA driver"),
    ]


def test_of_a_secret_only_that_it_differs_is_told():
    (change,) = differences(ran(env={"HF_TOKEN": "hf_aaaa"}), ran(env={"HF_TOKEN": "hf_bbbb"}))

    assert (change.before, change.after) == ("hidden", "another, hidden")
