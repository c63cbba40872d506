import pytest

from levare.stages import allowed, split, split_together


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_loss", ("val", "loss")),
        ("eval/loss", ("val", "loss")),
        ("eval_accuracy", ("val", "accuracy")),
        ("valid-rmse", ("val", "rmse")),
        ("validation.auc", ("val", "auc")),
        ("training_accuracy_score", ("train", "accuracy_score")),
        ("train-logloss", ("train", "logloss")),
        ("test_f1", ("test", "f1")),
        ("dtest-error", ("test", "error")),
        ("accuracy_score_X_test", ("test", "accuracy_score")),
        ("roc_auc_X_val", ("val", "roc_auc")),
    ],
)
def test_a_name_that_says_its_stage_is_split(name: str, expected: tuple[str, str]):
    assert split(name) == expected


@pytest.mark.parametrize("name", ["validation_0-logloss", "validation_1-logloss"])
def test_numbered_sets_are_stages_of_their_own_for_nobody_knows_what_they_are(name: str):
    assert split(name) == (name.partition("-")[0], "logloss")


@pytest.mark.parametrize(
    "name",
    [
        "loss",
        "train",
        "val_",
        "trainable_params",
        "evaluated",
        "latest_loss",
        "test_time",
        "system/cpu",
        "val_3",
        "value_x",
    ],
)
def test_a_name_that_does_not_is_kept_whole(name: str):
    assert split(name) == (None, name)


def test_beside_a_validation_the_plain_name_is_of_training():
    assert split_together(["loss", "val_loss", "lr"]) == {
        "loss": ("train", "loss"),
        "val_loss": ("val", "loss"),
        "lr": (None, "lr"),
    }


def test_a_metric_never_takes_a_name_that_says_something_else_in_a_line():
    assert (allowed("time"), allowed("loss"), allowed("")) == ("time_", "loss", "value")
