"""A client that a public generator makes of the OpenAPI document, without a warning, does what ours does."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.end_to_end.serving import Api, serving

GENERATOR = Path(sys.executable).with_name("openapi-python-client")
NO_HOOKS = "post_hooks: []\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, make_database_url: Any) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("serving") / "home", make_database_url("sqlite")) as api:
        yield api


@pytest.fixture(scope="module")
def generated(served: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(served.client.get("/openapi.json").content)
    (folder / "config.yaml").write_text(NO_HOOKS)
    options = [
        "--path",
        "openapi.json",
        "--config",
        "config.yaml",
        "--meta",
        "none",
        "--output-path",
        "generated_client",
    ]
    command = [str(GENERATOR), "generate", *options, "--fail-on-warning"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        token = served.settings.token_file.read_text().strip()
        operations = {name: import_module(f"generated_client.api.jobs.{name}") for name in OPERATIONS}
        models, kind = import_module("generated_client.models"), import_module("generated_client.client")
        with kind.AuthenticatedClient(base_url=served.url, token=token) as client:
            yield SimpleNamespace(**operations, models=models, client=client)


OPERATIONS = ("submit_job", "read_job", "list_jobs", "read_log", "cancel_job")


def test_it_submits_a_job_follows_it_and_cancels_it(served: Api, generated: SimpleNamespace):
    client, models = generated.client, generated.models
    served.join()
    wish = models.JobRequest(command=["python", "train.py"], name="generated", gpus=1)

    job = generated.submit_job.sync(client=client, body=wish, idempotency_key="once")
    again = generated.submit_job.sync(client=client, body=wish, idempotency_key="once")
    attempt = served.start(job.id)
    served.write(attempt, (0, b"epoch 1\n"))

    assert (job.name, job.gpus, again.id) == ("generated", 1, job.id)
    assert generated.read_job.sync(job.id, client=client).state == "running"
    assert generated.read_log.sync_detailed(job.id, client=client).content == b"epoch 1\n"
    assert [each.id for each in generated.list_jobs.sync(client=client, name="generated").items] == [job.id]

    cancelled = generated.cancel_job.sync(job.id, client=client)
    served.finish(attempt, state="cancelled", exit_code=143)

    assert cancelled.cancel_requested_at is not None
    assert generated.read_job.sync(job.id, client=client).state == "cancelled"


def test_it_knows_a_problem_by_its_code(generated: SimpleNamespace):
    refused = generated.read_job.sync("nothing", client=generated.client)

    assert isinstance(refused, generated.models.ReadJobResponse404)
    assert (refused.code, refused.status) == ("not-found", 404)
