"""The environment of a training process: an allow-list of ours, what the job sets, and the contract's variables."""

from collections.abc import Mapping
from pathlib import Path
from signal import Signals

from levare.model import input_variable
from levare.secrets import plain
from levare.store.attempts import Claimed
from levare.store.gangs import Gang

_TRACKING = "MLFLOW_TRACKING_URI"
_INHERITED = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "CUDA_HOME",
        "CUDA_PATH",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "VIRTUAL_ENV",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    ]
)


def environment(
    claimed: Claimed, *, run: Path, home: Path, inherited: Mapping[str, str], mlflow: str | None = None
) -> dict[str, str]:
    """What the process sees, its secrets aside. Never ours, nor URLs or import paths: those are not on the list."""
    job = home / "jobs" / claimed.job_id
    allowed = {name: value for name, value in inherited_of(inherited).items() if name not in claimed.env}
    if mlflow and _TRACKING not in claimed.env:
        allowed |= _of_mlflow(mlflow, allowed)
    return {
        **allowed,
        "PYTHONUNBUFFERED": "1",
        **plain(claimed.env),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(claimed.devices),
        "LEVARE_JOB": claimed.job_id,
        "LEVARE_ATTEMPT": claimed.attempt_id,
        "LEVARE_METRICS": str(run / "metrics.jsonl"),
        "LEVARE_CHECKPOINTS": str(job / "checkpoints"),
        "LEVARE_OUTPUT": str(output_of(claimed.job_id, home=home)),
        **{input_variable(step): str(output_of(job_id, home=home)) for step, job_id in claimed.inputs},
        **({"LEVARE_WARNING": number_of(claimed.warning_signal).name} if claimed.warning_signal else {}),
        **(_of_gang(claimed.gang) if claimed.gang else {}),
    }


def inherited_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What a job gets of the environment of its worker."""
    return {name: value for name, value in environ.items() if name in _INHERITED or name.startswith("LC_")}


def _of_mlflow(address: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Where MLflow logs to: patiently, not through a proxy, and without links to pages that are not there."""
    told = {_TRACKING: address, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    told["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "10"  # the most that it takes: about ten minutes without a worker
    if not any(name.lower().endswith("_proxy") for name in inherited):
        return told
    direct = next((inherited[name] for name in ("no_proxy", "NO_PROXY") if inherited.get(name)), "")
    reached = ",".join([*filter(None, [direct]), "127.0.0.1"])
    return told | {"no_proxy": reached, "NO_PROXY": reached}


def output_of(job_id: str, *, home: Path) -> Path:
    """Where a job leaves its results; elements of an array beside each other, in the folder of the array."""
    array_id, _, index = job_id.rpartition("_")
    return home / "jobs" / array_id / "output" / index if array_id else home / "jobs" / job_id / "output"


def _of_gang(gang: Gang) -> dict[str, str]:
    return {
        "MASTER_ADDR": gang.address,
        "MASTER_PORT": str(gang.port),
        "WORLD_SIZE": str(len(gang.nodes)),
        "NODE_RANK": str(gang.rank),
        "LEVARE_NODES": ",".join(gang.nodes),
    }


def number_of(name: str) -> Signals:
    """A signal by its name, with or without SIG."""
    return Signals[f"SIG{name.removeprefix('SIG')}"]


def folders(claimed: Claimed, *, home: Path) -> Path:
    """Make the folders that a job keeps across attempts; return the one to start in."""
    job = home / "jobs" / claimed.job_id
    for folder in (job, job / "checkpoints", output_of(claimed.job_id, home=home)):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if claimed.cwd:
        return Path(claimed.cwd)
    (job / "work").mkdir(exist_ok=True, mode=0o700)
    return job / "work"
