"""Train on three quarters of the prepared digits."""

import os
import pickle
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

import levare

EPOCHS = 15


def main() -> None:
    with np.load(Path(os.environ["LEVARE_INPUT_PREPARE"]) / "digits.npz") as found:
        images, labels = found["images"], found["labels"]
    is_training = np.arange(len(labels)) % 4 != 0
    model = MLPClassifier((32,), learning_rate_init=0.01, random_state=0)
    for epoch in range(EPOCHS):
        model.partial_fit(images[is_training], labels[is_training], classes=np.arange(10))
        levare.log(step=epoch + 1, stage="train", loss=float(model.loss_))
        levare.progress(epoch + 1, EPOCHS)
    (levare.output() / "model.pickle").write_bytes(pickle.dumps(model))
    print(f"trained on {is_training.sum()} digits, loss {model.loss_:.3f}", flush=True)


if __name__ == "__main__":
    main()
