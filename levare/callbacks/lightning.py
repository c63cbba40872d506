"""`Trainer(callbacks=[LevareCallback()])` tells levare what a LightningModule logs, and how far the trainer is."""

from typing import Any

try:
    from lightning.pytorch.callbacks import Callback  # pyright: ignore[reportMissingImports]
except ImportError:  # under its older name
    from pytorch_lightning.callbacks import Callback  # pyright: ignore[reportMissingImports]

import levare
from levare.callbacks import told

# ruff: noqa: ARG002 - hooks are given what Lightning gives


class LevareCallback(Callback):
    """Only the first process of several tells. Steps of training are told every `every_steps`, epochs always."""

    def __init__(self, every_steps: int = 50) -> None:
        super().__init__()
        self._every = every_steps

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if trainer.global_step and trainer.global_step % self._every == 0:
            _tell(trainer, trainer.callback_metrics, "train", lambda name: not name.startswith(("val", "test")))

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        _tell(trainer, trainer.callback_metrics, "train", lambda name: not name.startswith(("val", "test")))
        if trainer.is_global_zero and (trainer.max_epochs or -1) > 0:
            levare.progress(trainer.current_epoch + 1, trainer.max_epochs)

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        if not trainer.sanity_checking:
            _tell(trainer, trainer.callback_metrics, "val", lambda name: name.startswith("val"))

    def on_test_end(self, trainer: Any, module: Any) -> None:
        _tell(trainer, trainer.callback_metrics, "test", lambda name: name.startswith("test"))


def _tell(trainer: Any, metrics: Any, stage: str, wanted: Any) -> None:
    if trainer.is_global_zero:
        some = {name: value for name, value in metrics.items() if wanted(name)}
        told(some, step=trainer.global_step, epoch=trainer.current_epoch, plain=stage)
