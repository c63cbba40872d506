"""
Fit a line through noise, and make room when asked: the pattern of every training that may be preempted.

    levare submit --signal-before USR1@30s -- python examples/preemptible/train.py

It saves a checkpoint when it is warned and now and then besides, leaves with 143, and goes on from there when it is
started again: with the very numbers of a run that nobody disturbed. Standard library and levare only.
"""

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import levare

LEFT = 143  # 128 + SIGTERM; 0 would say that it has finished
SLOPE, OFFSET, NOISE, RATE = 3.0, -2.0, 0.1, 0.05


@dataclass
class Training:
    """All that the next step depends on; the random numbers come from the seed and the step alone."""

    seed: int
    step: int = 0
    slope: float = 0.0
    offset: float = 0.0

    def learn(self) -> float:
        """One step of gradient descent; return the squared error before it."""
        chance = random.Random(f"{self.seed} {self.step}")
        x = chance.uniform(-1, 1)
        error = self.slope * x + self.offset - (SLOPE * x + OFFSET + chance.gauss(0, NOISE))
        self.slope -= RATE * error * x
        self.offset -= RATE * error
        self.step += 1
        return error * error


def main() -> int:
    options = arguments()
    levare.stopping()  # from here on a warning is a wish
    training = resumed(options.seed)
    while training.step < options.steps:
        if levare.stopping():
            save(training)
            print(f"makes room: saved after step {training.step} of {options.steps}", flush=True)
            return LEFT
        loss = training.learn()
        if training.step % options.save_every == 0:
            save(training)
            levare.log(step=training.step, stage="train", loss=loss)
            levare.progress(training.step, options.steps)
        time.sleep(options.seconds_per_step)
    print(f"final: slope {training.slope!r} offset {training.offset!r}", flush=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--seconds-per-step", type=float, default=0.02, help="as if there were more to learn")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def resumed(seed: int) -> Training:
    path = levare.checkpoint() / "line.json"
    if not path.exists():
        return Training(seed)
    saved: dict[str, Any] = json.loads(path.read_text())
    print(f"resumed after step {saved['step']}", flush=True)
    return Training(**saved)


def save(training: Training) -> None:
    """Whole or not at all: a rename cannot be interrupted half-way."""
    draft = levare.checkpoint() / "line.draft"
    with draft.open("w") as file:
        json.dump(asdict(training), file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(draft.with_suffix(".json"))


if __name__ == "__main__":
    sys.exit(main())
