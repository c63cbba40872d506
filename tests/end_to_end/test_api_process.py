import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from levare.client import Client
from tests import nursery
from tests.end_to_end.serving import NO_REDIS
from tests.fleet import ROOT, eventually
from tests.nursery import Started


class Web:
    """The web process, and what it says."""

    def __init__(self, process: Started, output: Path) -> None:
        self.process = process
        self._output = output

    def refusal(self) -> str:
        """What it says when it does not start."""
        assert self.process.wait(60) == 1
        return self._output.read_text()


Start = Callable[..., Web]


def environment(folder: Path, **environ: str) -> dict[str, str]:
    ours = {"LEVARE_HOME": str(folder / "home"), "LEVARE_PORT": "0", "LEVARE_REDIS": NO_REDIS, **environ}
    return {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")} | ours


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """What `python -m app` runs, with these variables."""
    started: list[Web] = []

    def start(**environ: str) -> Web:
        path = tmp_path / f"said-{len(started)}"
        with path.open("wb") as output:
            started.append(Web(nursery.start("app", environment(tmp_path, **environ), output), path))
        return started[-1]

    yield start
    for web in started:
        web.process.kill()
        web.process.wait(20)


def address(home: Path) -> str:
    eventually((home / "address").exists)
    return (home / "address").read_text()


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment(tmp_path))
    yield process
    process.kill()
    process.wait()


def test_it_migrates_serves_on_a_free_port_and_leaves_no_address_behind(
    by_hand: subprocess.Popen[bytes], tmp_path: Path
):
    process, home = by_hand, tmp_path / "home"
    url = address(home)
    token = (home / "admin.token").read_text()

    answer = eventually(lambda: httpx.get(f"{url}/v1/jobs", headers={"Authorization": f"Bearer {token}"}))

    assert url.startswith("http://127.0.0.1:")
    assert answer.json() == {"items": [], "next_cursor": None}
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not (home / "address").exists()


def test_a_stop_ends_streams_and_the_next_start_takes_the_same_token(start: Start, tmp_path: Path):
    process, home = start().process, tmp_path / "home"
    headers = {"Authorization": f"Bearer {(eventually(lambda: address(home)), (home / 'admin.token').read_text())[1]}"}
    with httpx.Client(base_url=address(home), headers=headers, timeout=20) as client:
        job_id = client.post("/v1/jobs", json={"command": ["true"]}).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job_id}/logs?follow=true") as stream:
            process.send_signal(signal.SIGTERM)
            assert b"Last-Event-ID" in stream.read()
    assert process.wait(4) == 0, "no stream may hold up the end"

    start()

    answer = httpx.get(f"{address(home)}/v1/jobs/{job_id}", headers=headers)
    assert answer.json()["id"] == job_id


def test_a_port_that_is_taken_is_said_and_nothing_is_touched(start: Start, tmp_path: Path):
    start()
    port = address(tmp_path / "home").rpartition(":")[2]

    second = start(LEVARE_PORT=port, LEVARE_HOME=str(tmp_path / "other"))

    said = second.refusal()
    assert f"127.0.0.1 port {port}" in said
    assert "LEVARE_PORT" in said
    assert "Traceback" not in said
    assert not (tmp_path / "other").exists()


def test_it_listens_beyond_loopback_only_with_tls_or_when_it_is_told_to(start: Start, tmp_path: Path):
    refused = start(LEVARE_HOST="0.0.0.0")

    said = refused.refusal()

    assert "LEVARE_TLS_CERT" in said
    assert "LEVARE_INSECURE" in said
    assert "Traceback" not in said
    start(LEVARE_HOST="0.0.0.0", LEVARE_INSECURE="1")
    url = address(tmp_path / "home")
    eventually(lambda: httpx.get(f"{url}/healthz").status_code == 200)


def test_it_speaks_tls_and_a_client_on_this_machine_trusts_its_certificate(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "home"
    certificate, key = a_certificate(tmp_path)
    start(LEVARE_HOST="0.0.0.0", LEVARE_TLS_CERT=str(certificate), LEVARE_TLS_KEY=str(key))
    url = address(home)

    assert url.startswith("https://")
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"{url}/healthz")
    monkeypatch.setenv("LEVARE_HOME", str(home))
    with Client() as client:
        assert client.nodes() == []
    answer = httpx.get(f"{url}/healthz", verify=ssl.create_default_context(cafile=str(certificate)))
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def a_certificate(folder: Path) -> tuple[Path, Path]:
    """One that signs itself, for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "levare")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private, pem = folder / "cert.pem", folder / "key.pem", serialization.Encoding.PEM
    certificate.write_bytes(made.public_bytes(pem))
    as_written = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(as_written)
    return certificate, private


def test_one_file_of_two_is_said(start: Start, tmp_path: Path):
    certificate, _ = a_certificate(tmp_path)

    process = start(LEVARE_TLS_CERT=str(certificate))

    assert "LEVARE_TLS_KEY is not set" in process.refusal()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEVARE_PORT", "x"),
        ("LEVARE_HOST", "no.such.host.invalid"),
        ("LEVARE_DATABASE", "postgresql://127.0.0.1:1/x?connect_timeout=2"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_a_sentence(start: Start, name: str, value: str):
    said = start(**{name: value}).refusal()

    assert name in said
    assert "Traceback" not in said
