"""As in Keras' introductions: a sequential model, compile, fit with a validation split. The backend is Torch."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import mlflow
from sklearn.datasets import load_digits

mlflow.keras.autolog(log_models=False, log_datasets=False)

features, target = load_digits(return_X_y=True)
model = keras.Sequential(
    [keras.layers.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10, activation="softmax")]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(features / 16, target, batch_size=64, epochs=4, validation_split=0.25, verbose=0)
