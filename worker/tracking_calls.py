"""What an MLflow client may ask of the runs of an attempt: one function for each path of its protocol."""

import time
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any

from worker.tracked_runs import FIRST_EXPERIMENT, Book, Refused, Run, prefix_for

Body = Mapping[str, Any]
Answer = Mapping[str, Any]
Call = Callable[[Book, Body], Answer]
_NO_REGISTRY = "levare keeps metrics, parameters and files of runs; it is no registry of models and keeps no traces."


def answer(book: Book, method: str, path: str, body: Body) -> Answer:
    """Answer a call of the client, or raise what it is told."""
    call = _CALLS.get(path)
    if call:
        return call(book, body)
    head, _, rest = path.partition("/")
    if head == "logged-models" and rest:
        return _of_model(book, method, rest, body)
    raise Refused(404, "ENDPOINT_NOT_FOUND", f"There is no {path} here: {_NO_REGISTRY}")


def _create_experiment(book: Book, body: Body) -> Answer:
    name = str(body.get("name", ""))
    if not name:
        raise Refused(400, "INVALID_PARAMETER_VALUE", "An experiment has a name.")
    if name in book.experiments.values():
        raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Experiment {name!r} is there already.")
    experiment = str(len(book.experiments))
    book.keep("experiment", id=experiment, name=name)
    return {"experiment_id": experiment}


def _experiment_by_name(book: Book, body: Body) -> Answer:
    name = body.get("experiment_name")
    found = next((each for each, known in book.experiments.items() if known == name), None)
    if found is None:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"There is no experiment {name!r}.")
    return {"experiment": _experiment(book, found)}


def _experiment_by_id(book: Book, body: Body) -> Answer:
    experiment = str(body.get("experiment_id"))
    if experiment not in book.experiments:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"There is no experiment {experiment!r}.")
    return {"experiment": _experiment(book, experiment)}


def _experiments(book: Book, _: Body) -> Answer:
    return {"experiments": [_experiment(book, each) for each in book.experiments]}


def _experiment(book: Book, experiment: str) -> Answer:
    return {
        "experiment_id": experiment,
        "name": book.experiments[experiment],
        "artifact_location": book.artifacts_of(),
        "lifecycle_stage": "active",
    }


def _create_run(book: Book, body: Body) -> Answer:
    tags = _pairs(body.get("tags"))
    name = str(body.get("run_name") or tags.get("mlflow.runName") or f"run-{len(book.runs) + 1}")
    run_id = token_hex(16)
    book.keep(
        "run",
        id=run_id,
        experiment=str(body.get("experiment_id") or FIRST_EXPERIMENT),
        name=name,
        prefix=prefix_for(book, name),
        started=int(body.get("start_time") or time.time() * 1000),
        user=str(body.get("user_id") or ""),
        tags={"mlflow.runName": name, **tags},
    )
    return {"run": _run(book, book.runs[run_id])}


def _get_run(book: Book, body: Body) -> Answer:
    return {"run": _run(book, _run_of(book, body))}


def _update_run(book: Book, body: Body) -> Answer:
    run = _run_of(book, body)
    said = {"status": body.get("status"), "ended": body.get("end_time"), "name": body.get("run_name")}
    book.keep("update", run=run.id, values={name: value for name, value in said.items() if value is not None})
    return {"run_info": _info(book, run)}


def _search_runs(book: Book, body: Body) -> Answer:
    if body.get("filter"):  # to answer with all of them would be wrong, and nobody would see it
        raise Refused(400, "INVALID_PARAMETER_VALUE", "Runs are not filtered here: leave filter_string out.")
    wanted = {str(each) for each in body.get("experiment_ids") or ()}
    runs = [run for run in book.runs.values() if not wanted or run.experiment in wanted]
    return {"runs": [_run(book, run) for run in reversed(runs)]}


def _log_metric(book: Book, body: Body) -> Answer:
    book.tell_metrics(_run_of(book, body), [body])
    return {}


def _log_batch(book: Book, body: Body) -> Answer:
    run = _run_of(book, body)
    book.tell_metrics(run, list(body.get("metrics") or ()))
    _keep_params(book, run, _pairs(body.get("params")))
    _keep_tags(book, run, _pairs(body.get("tags")))
    return {}


def _log_parameter(book: Book, body: Body) -> Answer:
    _keep_params(book, _run_of(book, body), {str(body.get("key")): str(body.get("value", ""))})
    return {}


def _set_tag(book: Book, body: Body) -> Answer:
    _keep_tags(book, _run_of(book, body), {str(body.get("key")): str(body.get("value", ""))})
    return {}


def _delete_tag(book: Book, body: Body) -> Answer:
    book.keep("untag", run=_run_of(book, body).id, key=str(body.get("key")))
    return {}


def _keep_params(book: Book, run: Run, params: Mapping[str, str]) -> None:
    new = {name: value for name, value in params.items() if run.params.get(name) != value}
    if new:
        book.keep("params", run=run.id, values=new)
        book.tell_params(run, new)


def _keep_tags(book: Book, run: Run, tags: Mapping[str, str]) -> None:
    """A script's own tags are told as parameters are; those of MLflow itself are not."""
    if tags:
        book.keep("tags", run=run.id, values=dict(tags))
        book.tell_params(run, {name: value for name, value in tags.items() if not name.startswith("mlflow.")})


def _history(book: Book, body: Body) -> Answer:
    """The last value alone: the whole curve is levare's, not the script's."""
    last = _run_of(book, body).metrics.get(str(body.get("metric_key")))
    return {"metrics": [last] if last else []}


def _nothing(_book: Book, _body: Body) -> Answer:
    return {}


def _create_model(book: Book, body: Body) -> Answer:
    model_id, now = f"m-{token_hex(16)}", int(time.time() * 1000)
    model = {name: body.get(name) for name in ("experiment_id", "name", "model_type", "source_run_id")}
    times = {"creation_timestamp_ms": now, "last_updated_timestamp_ms": now}
    tags, params = list(body.get("tags") or ()), list(body.get("params") or ())
    book.keep("model", id=model_id, model={**model, **times, "status": 1, "tags": tags, "params": params})
    return _model(book, model_id)


def _of_model(book: Book, method: str, rest: str, body: Body) -> Answer:
    model_id, _, part = rest.partition("/")
    if rest == "search":
        return {"models": [_model(book, each)["model"] for each in book.models]}
    if model_id not in book.models:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"There is no model {model_id!r}.")
    if part in ("tags", "params") and method in ("POST", "PATCH"):
        told = [*book.models[model_id][part], *(body.get(part) or ())]
        book.keep("model", id=model_id, model={part: told})
    elif method == "PATCH":
        book.keep("model", id=model_id, model={"status": body.get("status", 1)})
    return _model(book, model_id)


def _model(book: Book, model_id: str) -> dict[str, Any]:
    model = dict(book.models[model_id])
    params = model.pop("params")
    info = {"model_id": model_id, "artifact_uri": book.artifacts_of("models", model_id), **model}
    return {"model": {"info": info, "data": {"params": params, "metrics": []}}}


def _run_of(book: Book, body: Body) -> Run:
    return book.run(body.get("run_id") or body.get("run_uuid"))


def _run(book: Book, run: Run) -> Answer:
    data = {
        "metrics": list(run.metrics.values()),
        "params": [{"key": name, "value": value} for name, value in run.params.items()],
        "tags": [{"key": name, "value": value} for name, value in run.tags.items()],
    }
    return {"info": _info(book, run), "data": data, "inputs": {}}


def _info(book: Book, run: Run) -> Answer:
    info = {
        "run_id": run.id,
        "run_uuid": run.id,
        "run_name": run.name,
        "experiment_id": run.experiment,
        "user_id": run.user,
        "status": run.status,
        "start_time": run.started,
        "artifact_uri": book.artifacts_of(run.id),
        "lifecycle_stage": "active",
    }
    return info if run.ended is None else info | {"end_time": run.ended}


def _pairs(told: Any) -> dict[str, str]:
    return {str(each.get("key")): str(each.get("value", "")) for each in told or ()}


_CALLS: Mapping[str, Call] = {
    "experiments/create": _create_experiment,
    "experiments/get-by-name": _experiment_by_name,
    "experiments/get": _experiment_by_id,
    "experiments/search": _experiments,
    "runs/create": _create_run,
    "runs/get": _get_run,
    "runs/update": _update_run,
    "runs/search": _search_runs,
    "runs/log-metric": _log_metric,
    "runs/log-batch": _log_batch,
    "runs/log-parameter": _log_parameter,
    "runs/set-tag": _set_tag,
    "runs/delete-tag": _delete_tag,
    "runs/delete": _nothing,
    "runs/restore": _nothing,
    "runs/log-model": _nothing,
    "runs/log-inputs": _nothing,
    "runs/outputs": _nothing,
    "experiments/set-experiment-tag": _nothing,
    "metrics/get-history": _history,
    "artifacts/list": lambda book, body: {"root_uri": book.artifacts_of(_run_of(book, body).id), "files": []},
    "logged-models": _create_model,
}
