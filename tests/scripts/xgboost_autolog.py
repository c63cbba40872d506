"""As in MLflow's example for XGBoost: autolog, and the sets that are watched, by name."""

import mlflow
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

mlflow.xgboost.autolog(log_models=False, log_datasets=False)

features, target = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(features, target, test_size=0.25, random_state=42)
train, test = xgboost.DMatrix(X_train, y_train), xgboost.DMatrix(X_test, y_test)

with mlflow.start_run():
    xgboost.train(
        {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "eta": 0.3, "nthread": 1},
        train,
        num_boost_round=10,
        evals=[(train, "train"), (test, "validation")],
        verbose_eval=False,
    )
