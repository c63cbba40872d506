"""How a job gets its secrets: it reads files, so that the value is in no message, spec or process but its own."""

import os
from collections.abc import Mapping
from pathlib import Path

from levare.secrets import Vault


def handed(wanted: Mapping[str, str], run: Path, vault: Vault) -> dict[str, str]:
    """
    For each variable the file that has its value. Raise MissingSecret for a name that there is no secret of.

    What only the worker's environment has is written into the run dir, from which the job removes it as it starts.
    """
    return {variable: _file(variable, name, run, vault) for variable, name in wanted.items()}


def _file(variable: str, name: str, run: Path, vault: Vault) -> str:
    value = vault.given(name)
    if value is None:
        return str(vault.file(name))
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = run / f"secret.{variable}"
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
    return file.name
