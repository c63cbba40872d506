"""`levare report`: Markdown, JSON and pictures."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pure.scripted import Api, levare_run


def a_report(**changes: Any) -> dict[str, Any]:
    totals = {"attempts": 12, "succeeded": 10, "failed": 2, "gpu_hours": 20.0, "idle_hours": 5.0}
    totals |= {"cost": 40.0, "energy_joules": None, "failures": {"nan": 2}}
    used = {"cpus": 1.5, "memory_mib": 11264.0, "gpu_memory_mib": 9216.0, "gpu_utilisation_percent": 75.0}
    asked = {"cpus": 8, "memory_mib": 65536, "gpus": 1, "gpu_memory_mib": None, "gpu_total_mib": 81920}
    family = {"name": "vision/imagenet/resnet", "team": "vision", "attempts": 12, "failed": 2, "wait_seconds": 60.0}
    family |= {"typical_seconds": 7200.0, "gpu_hours": 20.0, "idle_hours": 5.0, "asked": asked, "used": used}
    proposal = {"family": family["name"], "what": "memory", "text": "asks 64GiB, p99 of 10 runs uses 11GiB"}
    proposal |= {"option": "--memory 14GiB", "patch": {"memory_mib": 14336}}
    times = {"since": "2030-01-01T00:00:00Z", "until": "2030-01-31T00:00:00Z"}
    rest = {"team": None, "currency": "EUR", "totals": totals, "families": [family], "proposals": [proposal]}
    return {**times, **rest, **changes}


def test_a_report_is_markdown_with_options_ready_to_use():
    result = levare_run(Api().on("GET /v1/report", a_report()), "report", "--markdown")

    assert "20.0 GPU-hours were held; in 5.0 of them (25%) the GPUs were not busy." in result.output
    assert "| 1.5 of 8 | 11GiB of 64GiB | 9GiB of 80GiB |" in result.output
    assert "- vision/imagenet/resnet asks 64GiB, p99 of 10 runs uses 11GiB: `--memory 14GiB`" in result.output


@pytest.mark.parametrize("kind", ["svg", "png", "md", "json"])
def test_a_report_is_written_to_a_file_by_its_kind(tmp_path: Path, kind: str):
    output = tmp_path / f"report.{kind}"

    result = levare_run(Api().on("GET /v1/report", a_report()), "report", "-o", str(output))

    assert result.exit_code == 0, result.output
    begins = {"svg": b"<?xml", "png": b"\x89PNG", "md": b"# Report", "json": b"{"}
    assert output.read_bytes().startswith(begins[kind])


def test_a_picture_without_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    result = levare_run(Api().on("GET /v1/report", a_report()), "report", "-o", str(tmp_path / "report.svg"))

    assert result.exit_code == 1
    assert "pip install 'levare[report]'" in result.output


def test_what_is_used_of_several_gpus_is_held_against_all_of_them():
    report = a_report()
    report["families"][0]["asked"] |= {"gpus": 4}
    report["families"][0]["used"] |= {"gpu_memory_mib": 262144.0}

    result = levare_run(Api().on("GET /v1/report", report), "report", "--markdown")

    assert "| 256GiB of 320GiB |" in result.output
