"""As in Lightning's first steps: a module that logs train_loss and val_loss, and a trainer."""

import lightning
import mlflow
import torch
from torch.utils.data import DataLoader, TensorDataset

mlflow.pytorch.autolog(log_models=False)


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def _loss(self, batch):
        x, y = batch
        return torch.nn.functional.mse_loss(self.layer(x), y)

    def training_step(self, batch, _):
        loss = self._loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", self._loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


x = torch.linspace(-1, 1, 64).unsqueeze(1)
data = TensorDataset(x, 3 * x + 1)
trainer = lightning.Trainer(
    max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
)
trainer.fit(Line(), DataLoader(data, batch_size=16), DataLoader(data, batch_size=16))
