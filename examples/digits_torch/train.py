"""
Recognise handwritten digits: a small neural network in PyTorch, trained under levare, on a GPU if there is one.

    levare submit --name digits --gpus 1 -- python examples/digits_torch/train.py --epochs 30

It needs `pip install torch scikit-learn`. It runs just as well by itself, and goes on from its
last checkpoint when it was stopped: on a CPU it then ends with the very numbers of a run that
nobody disturbed.
"""

# pyright: reportMissingImports=false
# PyTorch is larger than all of levare's own environment together, which goes without.

import argparse
import os
import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

import levare

BATCH = 64
INTERRUPTED = 143  # 128 + SIGTERM: ended because it was asked to


class Training:
    """The network, its optimiser, and how many epochs they have seen."""

    def __init__(self, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10)).to(device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=2e-3)
        self.epochs = 0

    def save(self, path: Path) -> None:
        """Whole or not at all: a rename cannot be interrupted half-way."""
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            torch.save(
                {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "epochs": self.epochs},
                file,
            )
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)

    def resume(self, path: Path, device: str) -> None:
        saved = torch.load(path, map_location=device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.epochs = saved["epochs"]
        print(f"resumed after epoch {self.epochs}", flush=True)


def main() -> int:
    options = arguments()
    levare.stopping()  # from here on a wish to stop is a wish: the checkpoint is always whole
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train, validation = data(options.seed, device)
    training, path = Training(options.seed, device), levare.checkpoint() / "digits.pt"
    if path.exists():
        training.resume(path, device)
    while training.epochs < options.epochs:
        if not learn(training, *train, seed=options.seed):
            print(f"asked to stop: the checkpoint holds {training.epochs} of {options.epochs} epochs", flush=True)
            return INTERRUPTED
        report(training, train, validation)
        training.save(path)
        levare.progress(training.epochs, options.epochs)
    training.save(levare.output() / "model.pt")
    print(f"final: validation loss and accuracy {scores(training.model, *validation)}", flush=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def data(seed: int, device: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """1,797 images of 8 x 8 pixels, a quarter of them kept for validation."""
    images, digits = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, digits, test_size=0.25, random_state=seed, stratify=digits)
    inputs = [torch.tensor(part, dtype=torch.float32, device=device) for part in parts[:2]]
    targets = [torch.tensor(part, dtype=torch.long, device=device) for part in parts[2:]]
    return (inputs[0], targets[0]), (inputs[1], targets[1])


def learn(training: Training, images: Tensor, digits: Tensor, *, seed: int) -> bool:
    """One epoch, or False if it was given up because the job is to stop. Its luck comes from seed and epoch alone."""
    torch.manual_seed(seed * 1_000_003 + training.epochs)
    training.model.train()
    for batch in torch.randperm(len(images)).split(BATCH):
        if levare.stopping():
            return False
        loss = functional.cross_entropy(training.model(images[batch]), digits[batch])
        training.optimiser.zero_grad()
        loss.backward()
        training.optimiser.step()
    training.epochs += 1
    return True


def report(training: Training, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]) -> None:
    for stage, (images, digits) in {"train": train, "val": validation}.items():
        loss, accuracy = scores(training.model, images, digits)
        levare.log(step=training.epochs, epoch=training.epochs - 1, stage=stage, loss=loss, accuracy=accuracy)
        print(f"epoch {training.epochs - 1:3d} {stage:5s} loss {loss:.4f} accuracy {accuracy:.4f}", flush=True)


@torch.no_grad()
def scores(model: nn.Module, images: Tensor, digits: Tensor) -> tuple[float, float]:
    model.eval()
    answers = model(images)
    return functional.cross_entropy(answers, digits).item(), (answers.argmax(1) == digits).float().mean().item()


if __name__ == "__main__":
    sys.exit(main())
