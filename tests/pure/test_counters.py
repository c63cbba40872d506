"""Every counter has a meaning, a line in the guide, and a name that can be taken apart."""

from pathlib import Path

import pytest

from levare.model import counters
from levare.model.counters import Parts
from worker.probe.simulated import Simulated

GUIDE = (Path(__file__).parents[2] / "docs" / "monitoring-samples.md").read_text()


@pytest.mark.parametrize("kind", ["NODE", "MOUNT", "GPU", "ATTEMPT"])
def test_every_counter_is_in_the_guide_with_its_meaning(kind: str):
    for name, meaning in getattr(counters, kind).items():
        shown = f"{name}:PATH" if kind == "MOUNT" else name
        assert f"| `{shown}` | {meaning} |" in GUIDE, name


def test_a_simulated_gpu_has_every_counter_that_there_is():
    [reading] = Simulated("n1", "1x80GiB").readings([])

    assert reading.counters.keys() == counters.GPU.keys()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("load_1m", Parts("load_1m")),
        ("cpu_percent", Parts("cpu_percent")),
        ("cpu12_percent", Parts("core_percent", core=12)),
        ("gpu0_power_watts", Parts("power_watts", gpu=0)),
        ("mount_free_gib:/a:b", Parts("mount_free_gib", mount="/a:b")),
    ],
)
def test_a_name_says_what_it_is_of(name: str, found: Parts):
    assert counters.parts(name) == found
