"""`model.fit(..., callbacks=[LevareCallback()])` tells levare each epoch of Keras, with its validation."""

from typing import Any

import keras  # pyright: ignore[reportMissingImports]

import levare
from levare.callbacks import told


class LevareCallback(keras.callbacks.Callback):
    """With `every_steps` the training is also told so often within an epoch."""

    def __init__(self, every_steps: int | None = None) -> None:
        super().__init__()
        self._every, self._step = every_steps, 0

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - names are Keras'
        levare.params(self.params)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._step += 1
        if self._every and self._step % self._every == 0:
            told(logs or {}, step=self._step, plain="train")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Of the end of an epoch are its means, so the place is the epoch where steps are told too."""
        told(logs or {}, step=self._step, epoch=epoch + 1, plain="train")
        levare.progress(epoch + 1, self.params.get("epochs") or epoch + 1)
