from typing import Any

import pytest

from tests.end_to_end.serving import Api, refused

TRUE = {"command": ["true"]}


def an_array(**array: Any) -> dict[str, Any]:
    return {"command": ["train", "--i={index}"], "array": array}


def test_an_array_of_a_hundred_thousand_is_one_record_until_it_begins(api: Api):
    answer = api.client.post("/v1/jobs", json=an_array(size=100_000, cap=8))

    assert answer.status_code == 201, answer.text
    assert answer.json()["array"] == {
        "size": 100_000,
        "cap": 8,
        "opened": 0,
        "waiting": 100_000,
        "running": 0,
        "succeeded": 0,
        "failed": 0,
        "cancelled": 0,
    }
    assert api.count("jobs") == 1


@pytest.mark.parametrize(
    ("array", "field"),
    [
        ({}, "array"),
        ({"size": 2, "grid": {"a": [1]}}, "array"),
        ({"grid": {"a": list(range(1001)), "b": list(range(1000))}}, "array.grid"),
        ({"grid": {"lr": [1], "LR": [1]}}, "array.grid"),
        ({"grid": {"index": [1]}}, "array.grid"),
        ({"list": [{"a": 1}, {"b": 1}]}, "array.list.1"),
    ],
)
def test_an_array_that_contradicts_itself_is_refused(local_api: Api, array: dict[str, Any], field: str):
    problem = refused(local_api.client.post("/v1/jobs", json=an_array(**array)), 422, "invalid-array")

    assert [error["field"] for error in problem["errors"]] == [field]


def test_an_element_is_found_by_its_array_and_says_what_it_was_given(api: Api):
    api.join()
    array = api.client.post("/v1/jobs", json=an_array(grid={"lr": [0.1, 0.2], "net": ["big"]})).json()["id"]
    attempt = api.start(array)

    [element] = api.get("/v1/jobs", array=array)["items"]

    assert (attempt, element["id"], element["command"]) == (f"{array}_0-1", f"{array}_0", ["train", "--i=0"])
    assert element["parameters"] == {"lr": 0.1, "net": "big"}
    assert (element["array_id"], element["array_index"], element["array"]) == (array, 0, None)
    assert [job["id"] for job in api.get("/v1/jobs")["items"]] == [array]
    assert api.get(f"/v1/jobs/{array}/array") == {
        "size": None,
        "grid": {"lr": [0.1, 0.2], "net": ["big"]},
        "list": None,
        "cap": None,
    }


def test_elements_are_listed_page_by_page(api: Api):
    api.join()
    array = api.client.post("/v1/jobs", json=an_array(size=12)).json()["id"]
    for _ in range(12):
        api.start(array)

    page = api.get("/v1/jobs", array=array, limit=5, order="oldest")
    rest = api.get("/v1/jobs", array=array, limit=20, order="oldest", cursor=page["next_cursor"])

    indices = [job["array_index"] for job in [*page["items"], *rest["items"]]]
    assert indices == list(range(12))


def test_a_need_says_how_the_other_must_end(api: Api):
    first = api.submit()

    job = api.get(f"/v1/jobs/{api.submit(needs=[{'job': first, 'on': 'failure'}])}")

    assert (job["state"], job["needs"]) == ("blocked", [{"job": first, "on": "failure"}])
    assert f"Needs {first} to fail; it is waiting." in str(api.get(f"/v1/jobs/{job['id']}/why"))


def test_a_pipeline_is_submitted_shown_listed_and_cancelled(api: Api):
    steps = [TRUE | {"step": "a"}, TRUE | {"step": "b", "needs": ["a"], "array": {"size": 3}}]

    answer = api.client.post("/v1/pipelines", json={"name": "nightly", "jobs": steps})

    made = answer.json()
    assert answer.status_code == 201, answer.text
    assert api.get(answer.headers["Location"]) == made
    assert api.get("/v1/pipelines")["items"] == [made]
    assert [(step["step"], step["state"], step["needs"]) for step in made["steps"]] == [
        ("a", "waiting", []),
        ("b", "blocked", ["a"]),
    ]
    assert api.get(f"/v1/jobs/{made['steps'][1]['job']}")["step"] == "b"
    cancelled = api.client.delete(f"/v1/pipelines/{made['id']}")
    assert cancelled.status_code == 202
    assert all(api.get(f"/v1/jobs/{step['job']}")["cancel_requested_at"] for step in cancelled.json()["steps"])


def test_a_dry_run_of_a_pipeline_keeps_nothing(api: Api):
    answer = api.client.post("/v1/pipelines", json={"jobs": [TRUE | {"step": "a"}]}, params={"dry_run": True})

    assert (answer.status_code, answer.json()["steps"][0]["state"]) == (200, "waiting")
    assert (api.count("jobs"), api.count("pipelines")) == (0, 0)


def test_a_cycle_is_refused_by_its_names(local_api: Api):
    steps = [TRUE | {"step": "a", "needs": ["b"]}, TRUE | {"step": "b", "needs": ["a"]}]

    problem = refused(local_api.client.post("/v1/pipelines", json={"jobs": steps}), 422, "invalid-pipeline")

    assert "a -> b -> a" in problem["detail"]


def test_a_misspelt_field_of_a_step_is_told_with_the_names_that_a_step_has(local_api: Api):
    steps = [TRUE | {"step": "a"}, TRUE | {"step": "b", "needz": ["a"]}]

    problem = refused(local_api.client.post("/v1/pipelines", json={"jobs": steps}), 422, "invalid-request")

    assert problem["detail"] == "jobs.1.needz is no field of this request; did you mean needs?"
    assert "gpu_memory_mib" in problem["errors"][0]["limit"]
