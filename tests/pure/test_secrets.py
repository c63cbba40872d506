"""Secrets by their names: where they are looked for, and who is given them."""

from pathlib import Path

import pytest

from levare import secrets
from levare.errors import MissingSecret
from levare.procfile import Processes
from levare.secrets import Vault
from worker.environment import inherited_of
from worker.handing import handed

ENVIRON = {"PATH": "/bin", "LEVARE_SECRET_HUB": "given"}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    for name, text, mode in (
        ("FILE", "kept\n", 0o600),
        ("OPEN", "x", 0o640),
        ("EMPTY", "", 0o600),
        ("HUB", "x", 0o600),
    ):
        (tmp_path / name).touch(mode=mode)
        (tmp_path / name).write_text(text)
    return Vault(tmp_path, "beat", ENVIRON)


def test_what_the_environment_gives_comes_before_a_file(vault: Vault):
    assert (vault.read("HUB"), vault.read("FILE")) == ("given", "kept")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("NONE", r"There is no secret NONE\. Set LEVARE_SECRET_NONE for beat, or write .*/NONE with mode 0600"),
        ("OPEN", r"may be read by others\. `chmod 600"),
        ("EMPTY", "The secret EMPTY is empty"),
    ],
)
def test_a_secret_that_does_not_serve_is_refused_with_what_to_do(vault: Vault, name: str, told: str):
    with pytest.raises(MissingSecret, match=told):
        vault.read(name)
    with pytest.raises(MissingSecret, match=told):
        vault.file(name)


def test_a_job_is_handed_files_and_what_was_copied_is_its_own_to_remove(vault: Vault, tmp_path: Path):
    files = handed({"A": "FILE", "B": "HUB"}, tmp_path / "run", vault)

    assert files == {"A": f"{tmp_path}/FILE", "B": "secret.B"}
    copy = tmp_path / "run" / "secret.B"
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("given", 0o600)


def test_variables_are_told_from_names_of_secrets():
    env = {"SEED": "1", "API_KEY": {"secret": "HUB"}}

    assert (secrets.plain(env), secrets.named(env)) == ({"SEED": "1"}, {"API_KEY": "HUB"})
    assert inherited_of(ENVIRON) == {"PATH": "/bin"}


def test_of_the_processes_of_a_machine_beat_and_the_worker_alone_are_given_secrets(tmp_path: Path):
    processes = Processes({name: ["true"] for name in NAMES}, cwd=tmp_path, env=ENVIRON, say=lambda _name, _line: None)

    assert [each.name for each in processes._kept if "LEVARE_SECRET_HUB" in each._env] == ["beat", "worker"]


NAMES = ("redis", "web", "beat", "worker", "flower")
