"""
What a call of `levare.log` costs the training process, beside writing the same line by hand.

`python benchmarks/log_call.py [FOLDER]`. The file lies in FOLDER (a temporary folder by default), so that disks can be
compared. Each call is timed by itself; the cost of asking the clock is measured and taken off.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

CALLS, ROUNDS = 20_000, 7
PARTS = (0.5, 0.9, 0.99)


def measure(call: Callable[[int], object]) -> list[float]:
    """Microseconds at each of the parts, of the quietest round: others use the machine too."""
    rounds = []
    for _ in range(ROUNDS):
        taken = []
        for step in range(CALLS):
            begin = time.perf_counter_ns()
            call(step)
            taken.append(time.perf_counter_ns() - begin)
        taken.sort()
        rounds.append([taken[int(part * CALLS)] / 1000 for part in PARTS])
    return min(rounds)


def main(folder: Path) -> None:
    os.environ["LEVARE_METRICS"] = str(folder / "metrics.jsonl")
    import levare

    by_hand = (folder / "by_hand.jsonl").open("a", buffering=1)

    def written(step: int) -> None:
        by_hand.write(json.dumps({"time": time.time(), "step": step, "stage": "train", "loss": 0.31}) + "\n")

    clock = measure(lambda _: None)
    calls: dict[str, Callable[[int], object]] = {
        "levare.log, one value": lambda step: levare.log(step=step, stage="train", loss=0.31),
        "levare.log, four values": lambda step: levare.log(
            step=step, stage="train", loss=0.31, accuracy=0.9, lr=1e-3, norm=1.5
        ),
        "levare.progress, no change": lambda _: levare.progress(0.5),
        "json.dumps and write": written,
    }
    for name, call in calls.items():
        figures = [f"{value - off:6.2f}" for value, off in zip(measure(call), clock, strict=True)]
        print(f"{name:28} p50 {figures[0]} µs   p90 {figures[1]} µs   p99 {figures[2]} µs")
    by_hand.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with TemporaryDirectory() as temporary:
            main(Path(temporary))
