"""A process that cannot run says so in one line, and what to do."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("app", "web"),
        ("beat", "beat"),
        ("worker", "worker"),
        ("levare.embedded", "redis"),
        ("levare.flower", "flower"),
    ],
)
def test_each_process_says_in_one_line_which_setting_is_wrong(module: str, name: str):
    environ = {**os.environ, "LEVARE_PORT": "eighty"}

    ended = subprocess.run([sys.executable, "-m", module], env=environ, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr == f"levare {name}: LEVARE_PORT is 'eighty'. Set a whole number from 0 to 65535.\n"
