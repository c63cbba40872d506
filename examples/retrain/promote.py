"""Take the new model into use if it is better: whole or not at all, the model before what is said of it."""

import json
import os
import shutil
from pathlib import Path


def main() -> None:
    verdict = json.loads((Path(os.environ["LEVARE_INPUT_EVALUATE"]) / "verdict.json").read_text())
    models = Path(os.environ["MODELS"])
    if not verdict["is_better"]:
        print(f"kept: {verdict['accuracy']:.3f} is not better than {verdict['in_use']:.3f}", flush=True)
        return
    models.mkdir(parents=True, exist_ok=True)
    draft = models / "model.draft"
    shutil.copy(Path(os.environ["LEVARE_INPUT_TRAIN"]) / "model.pickle", draft)
    draft.rename(models / "model.pickle")
    said = models / "model.json.draft"
    said.write_text(json.dumps({"accuracy": verdict["accuracy"]}))
    said.rename(models / "model.json")
    print(f"promoted: {verdict['accuracy']:.3f} instead of {verdict['in_use']:.3f}", flush=True)


if __name__ == "__main__":
    main()
