"""As in MLflow's quickstart for scikit-learn: autolog, a fit, a score on what was kept back."""

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

mlflow.set_experiment("iris")
mlflow.sklearn.autolog(log_models=False)

features, target = load_iris(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(features, target, test_size=0.3, random_state=7)

with mlflow.start_run():
    for step, iterations in enumerate((1, 2, 4, 8, 16)):
        model = LogisticRegression(max_iter=iterations).fit(X_train, y_train)
        mlflow.log_metrics(
            {
                "val_loss": log_loss(y_test, model.predict_proba(X_test)),
                "val_accuracy": accuracy_score(y_test, model.predict(X_test)),
            },
            step=step,
        )
