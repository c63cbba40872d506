"""Say how good the new model is on the digits that it has not seen, and whether it is better than the one in use."""

import json
import os
import pickle
from pathlib import Path

import numpy as np

import levare


def main() -> None:
    with np.load(Path(os.environ["LEVARE_INPUT_PREPARE"]) / "digits.npz") as found:
        images, labels = found["images"][::4], found["labels"][::4]
    model = pickle.loads((Path(os.environ["LEVARE_INPUT_TRAIN"]) / "model.pickle").read_bytes())
    accuracy = float((model.predict(images) == labels).mean())
    levare.log(step=1, stage="val", accuracy=accuracy)
    in_use = Path(os.environ["MODELS"]) / "model.json"
    best = json.loads(in_use.read_text())["accuracy"] if in_use.exists() else 0.0
    verdict = {"accuracy": accuracy, "in_use": best, "is_better": accuracy > best}
    (levare.output() / "verdict.json").write_text(json.dumps(verdict))
    print(f"accuracy {accuracy:.3f}, in use {best:.3f}", flush=True)


if __name__ == "__main__":
    main()
