"""The `mlflow` section: an optional copy of the training log at an MLflow tracking server."""

from __future__ import annotations

from mal.config.fields import Section, Task, spec_field

_TRAIN: tuple[Task, ...] = ("train",)


class MlflowConfig(Section):
    """Experiment tracking with MLflow; takes `pip install 'mask-auto-labeler[mlflow]'`."""

    enable: bool = spec_field(False, "Log to MLflow as well.", tasks=_TRAIN)
    tracking_uri: str | None = spec_field(
        None,
        "Address of the tracking server; null means MLFLOW_TRACKING_URI. A database on this machine, as in"
        " sqlite:////runs/mlflow.db, takes the whole mlflow package. A password belongs in MLFLOW_TRACKING_PASSWORD.",
        tasks=_TRAIN,
    )
    experiment_name: str = spec_field("mask-auto-labeler", "Experiment that the run belongs to.", tasks=_TRAIN)
    run_name: str | None = spec_field(None, "Name of the run; null leaves it to MLflow.", tasks=_TRAIN)
