"""As in the course of Hugging Face: a Trainer that evaluates each epoch. The model is made here, tiny and untrained."""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

torch.manual_seed(0)
words = torch.randint(0, 50, (64, 8))
rows = [{"input_ids": each, "labels": int(each.sum() % 2)} for each in words]
config = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=2
)
arguments = TrainingArguments(
    output_dir="out",
    num_train_epochs=3,
    per_device_train_batch_size=16,
    eval_strategy="epoch",
    logging_steps=2,
    save_strategy="no",
    report_to="mlflow",
    use_cpu=True,
    disable_tqdm=True,
)
Trainer(BertForSequenceClassification(config), arguments, train_dataset=rows, eval_dataset=rows[:16]).train()
