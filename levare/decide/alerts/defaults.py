"""The rules that hold where nobody has declared anything; a declared one of the same name replaces its default."""

from collections.abc import Mapping
from typing import Any

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "failure": {
        "when": {"failure": {}},
        "severity": "warning",
        "description": "A job has failed, after all its retries.",
    },
    "hang": {
        "when": {"hang": {}},
        "severity": "critical",
        "description": "A job makes no step, writes nothing and uses nothing.",
    },
    "not-finite": {
        "when": {"not_finite": {}},
        "severity": "critical",
        "description": "A metric of a job is NaN or infinite.",
    },
    "slow": {
        "when": {"slow": {}},
        "severity": "warning",
        "description": "A job is slower than its family was.",
    },
    "degraded": {
        "when": {"degraded": {}},
        "severity": "warning",
        "description": "A run has come to a worse model than its family did.",
    },
    "gpu-idle": {
        "when": {"idle": {}},
        "severity": "warning",
        "description": "A job holds GPUs that it does not use.",
    },
    "node-lost": {
        "when": {"node_lost": {}},
        "severity": "critical",
        "description": "A node has stopped renewing its lease.",
    },
    "unhealthy": {
        "when": {"unhealthy": {}},
        "severity": "warning",
        "description": "A worker or beat is late.",
    },
    "queue": {
        "when": {"queue": {}},
        "severity": "info",
        "description": "A job has waited for a day.",
    },
    "disk": {
        "when": {"disk": {}},
        "severity": "critical",
        "description": "A disk is nearly full, or will be soon.",
    },
    "gpu-hot": {
        "when": {"sample": {"sample": "gpu*_temperature_celsius", "above": 90, "rearm": 85, "for_seconds": 60}},
        "severity": "warning",
        "description": "A GPU is so hot that it slows down.",
    },
    "gpu-throttled": {
        "when": {"sample": {"sample": "gpu*_throttled_by_h*_percent", "above": 50, "rearm": 10, "for_seconds": 300}},
        "severity": "warning",
        "description": "A GPU is held down by heat, or by its hardware, most of the time.",
    },
    "gpu-ecc": {
        "when": {"sample": {"sample": "gpu*_ecc_uncorrected", "change": 0.000001, "over": 60, "for_seconds": 0}},
        "severity": "critical",
        "description": "A GPU has met memory errors that it could not correct.",
    },
    "gpu-xid": {
        "when": {"sample": {"sample": "gpu*_xid_errors", "change": 0.000001, "over": 60, "for_seconds": 0}},
        "severity": "critical",
        "description": "The driver of a GPU has reported an error.",
    },
}
