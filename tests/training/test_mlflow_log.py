from __future__ import annotations

import pytest
from lightning.pytorch.loggers import MLFlowLogger

from mal.config.sections import MlflowConfig
from mal.errors import UserError

exceptions = pytest.importorskip("mlflow.exceptions", reason="MLflow is not installed (the extra [mlflow])")

from mal.training.mlflow_log import mlflow_log  # noqa: E402


@pytest.fixture
def config(monkeypatch, tmp_path) -> MlflowConfig:
    """A log in files, so that no server is needed."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return MlflowConfig(enable=True, tracking_uri=f"file:{tmp_path / 'runs'}", run_name="first")


def test_figures_arrive_at_their_step_in_a_run_of_the_given_name(config):
    logger = mlflow_log(config)
    logger.log_metrics({"val/mIoU": 0.5}, step=3)
    logger.finalize("success")
    (point,) = logger.experiment.get_metric_history(logger.run_id, "val/mIoU")
    assert (point.step, point.value) == (3, 0.5)
    info = logger.experiment.get_run(logger.run_id).info
    assert (info.run_name, info.status) == ("first", "FINISHED")
    assert logger.experiment.get_experiment(info.experiment_id).name == "mask-auto-labeler"


def test_a_server_that_goes_away_is_named_once_and_training_goes_on(config, monkeypatch, capsys):
    logger = mlflow_log(config)
    calls = []

    def refuse(*_):
        calls.append(1)
        raise exceptions.MlflowException("the server is gone\nand more")

    monkeypatch.setattr(MLFlowLogger, "log_metrics", refuse)
    logger.log_metrics({"train/loss": 1.0}, 0)
    logger.log_metrics({"train/loss": 1.0}, 1)
    logger.finalize("success")
    assert len(calls) == 1
    assert capsys.readouterr().out == "MLflow: the server is gone; training goes on, nothing more is sent\n"


def test_a_server_that_does_not_answer_stops_the_run_before_it_begins(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"mlflow\.tracking_uri: the run cannot be logged there: .*127\.0\.0\.1"):
        mlflow_log(MlflowConfig(enable=True, tracking_uri="http://127.0.0.1:9"))


def test_a_server_must_be_named(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="no server is named"):
        mlflow_log(MlflowConfig(enable=True))
