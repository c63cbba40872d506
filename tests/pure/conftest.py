"""What takes long to make and is the same for all: made once for all workers."""

import fcntl
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest


@pytest.fixture(scope="session")
def the_api(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The document of the API, which takes seconds to write."""
    from tests.reference import api_document

    if "PYTEST_XDIST_WORKER" not in os.environ:
        return api_document()
    shared = tmp_path_factory.getbasetemp().parent / "api-document.json"
    with shared.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if not (text := file.read()):
            file.write(text := json.dumps(api_document()))
    return json.loads(text)
