"""`python -m worker.offers`: what this machine has, as one line of JSON, for `levare node run`. Starts no worker."""

import json
from dataclasses import asdict
from typing import Any

from levare import logs, settings
from worker.probe import facts as probe


def main() -> None:
    configured = settings.load()
    logs.configure(configured, process="worker")
    print(json.dumps(offers(configured)))  # noqa: T201 - for whoever started us


def offers(configured: settings.Settings) -> dict[str, Any]:
    """As POST /v1/machines/{name}/poll takes it. Simulated GPUs are of pools, not of machines."""
    gpus = probe.gpus(configured)
    try:
        found = probe.facts(configured, gpus)
    finally:
        gpus.close()
    devices = [] if found.is_simulated else [asdict(device) for device in found.devices]
    names = ("uuid", "index", "memory_mib", "model")
    return {
        "cpus": found.cpus,
        "memory_mib": found.memory_mib,
        "scratch_mib": found.scratch_mib,
        "labels": dict(configured.labels),
        "gpus": [{name: device[name] for name in names} for device in devices],
    }


if __name__ == "__main__":
    main()
