"""
Recognise handwritten digits: a small neural network in scikit-learn, trained under levare.

    levare submit --name digits -- python examples/digits/train.py --epochs 20

It runs just as well by itself (`python examples/digits/train.py`). Stopped in the middle, by
Ctrl-C, a crash or `levare cancel`, and started again, it goes on from its last checkpoint and
ends with the very numbers of a run that nobody disturbed.
"""

import argparse
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import levare

BATCH = 64
INTERRUPTED = 143  # 128 + SIGTERM: ended because it was asked to


def main() -> int:
    options = arguments()
    levare.stopping()  # from here on a wish to stop is a wish: the checkpoint is always whole
    train, validation = data(options.seed)
    model, done = resumed(options.seed)
    levare.progress(done, options.epochs)
    for epoch in range(done, options.epochs):
        if not learn(model, *train, seed=(options.seed, epoch), seconds=options.seconds_per_epoch):
            print(f"asked to stop: the checkpoint holds {epoch} of {options.epochs} epochs", flush=True)
            return INTERRUPTED
        report(model, train, validation, epoch)
        save(model, epoch + 1)
        levare.progress(epoch + 1, options.epochs)
    finish(model, validation)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seconds-per-epoch", type=float, default=0.2, help="slow down to this, for a show")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def data(seed: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """1,797 images of 8 x 8 pixels, a quarter of them kept for validation."""
    images, digits = load_digits(return_X_y=True)
    split = train_test_split(images / 16, digits, test_size=0.25, random_state=seed, stratify=digits)
    parts = [np.asarray(part) for part in split]
    return (parts[0], parts[2]), (parts[1], parts[3])


def resumed(seed: int) -> tuple[MLPClassifier, int]:
    """The model as the last checkpoint has it, and how many epochs it has learnt; a new one if there is none."""
    path = levare.checkpoint() / "digits.pickle"
    if path.exists():
        saved = pickle.loads(path.read_bytes())
        print(f"resumed after epoch {saved['epochs']}", flush=True)
        return saved["model"], saved["epochs"]
    return MLPClassifier((64,), learning_rate_init=0.005, random_state=seed), 0


def learn(
    model: MLPClassifier, images: np.ndarray, digits: np.ndarray, *, seed: tuple[int, int], seconds: float
) -> bool:
    """
    One epoch, or False if it was given up because the job is to stop.

    Its order comes from the seed and the epoch alone, so a resumed run learns in the same one.
    """
    begin = time.monotonic()
    order = np.random.default_rng(seed).permutation(len(images))
    batches = np.array_split(order, len(order) // BATCH)
    for number, batch in enumerate(batches, start=1):
        if levare.stopping():
            return False
        model.partial_fit(images[batch], digits[batch], classes=np.arange(10))
        time.sleep(max(0.0, begin + seconds * number / len(batches) - time.monotonic()))
    return True


def report(model: MLPClassifier, train: Any, validation: Any, epoch: int) -> None:
    for stage, (images, digits) in {"train": train, "val": validation}.items():
        loss, accuracy = scores(model, images, digits)
        levare.log(step=epoch + 1, epoch=epoch, stage=stage, loss=loss, accuracy=accuracy)
        print(f"epoch {epoch:3d} {stage:5s} loss {loss:.4f} accuracy {accuracy:.4f}", flush=True)


def scores(model: MLPClassifier, images: np.ndarray, digits: np.ndarray) -> tuple[float, float]:
    likely = np.asarray(model.predict_proba(images))
    return float(log_loss(digits, likely, labels=range(10))), float((likely.argmax(axis=1) == digits).mean())


def save(model: MLPClassifier, epochs: int) -> None:
    write(levare.checkpoint() / "digits.pickle", {"model": model, "epochs": epochs})


def write(path: Path, content: object) -> None:
    """Whole or not at all: a rename cannot be interrupted half-way."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        pickle.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def finish(model: MLPClassifier, validation: Any) -> None:
    loss, accuracy = scores(model, *validation)
    write(levare.output() / "model.pickle", model)
    print(f"final: validation loss {loss!r} accuracy {accuracy!r}, model in {levare.output()}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
