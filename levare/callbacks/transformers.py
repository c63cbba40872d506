"""`Trainer(..., callbacks=[LevareCallback()])` tells levare what the Trainer of Hugging Face logs."""

from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports]

import levare
from levare.callbacks import told

_SUMS = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss")
"""Of the whole training, told at its end: no points of a curve."""


class LevareCallback(TrainerCallback):
    """Only the first process of several tells."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - names are theirs
        if state.is_world_process_zero:
            known = {"epochs": args.num_train_epochs, "max_steps": state.max_steps, "lr": args.learning_rate}
            levare.params(known | {"batch_size": args.per_device_train_batch_size, "seed": args.seed})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        if state.is_world_process_zero and logs:
            some = {name: value for name, value in logs.items() if name not in _SUMS and name != "epoch"}
            told(some, step=state.global_step, epoch=state.epoch, plain="train")
            levare.progress(state.global_step, state.max_steps or state.global_step or 1)
