"""Where the figures of a run go besides the terminal."""

from __future__ import annotations

import importlib.util
import netrc
import os
from pathlib import Path
from urllib.parse import urlparse

from lightning.pytorch.loggers import Logger

from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.errors import UserError
from mal.training.tensorboard_log import TensorBoardLog

_WANDB_HOST = "https://api.wandb.ai"


def run_loggers(spec: ExperimentSpec, results_dir: Path, *, steps_done: int = 0) -> list[Logger]:
    """TensorBoard files in ``<results_dir>/tensorboard``, and the trackers that the spec asks for.

    Args:
        spec: sections ``wandb`` (used where a person is logged in to it) and ``mlflow``.
        results_dir: of the training.
        steps_done: optimiser steps of the run that this one goes on with; see :class:`TensorBoardLog`.

    Raises:
        UserError: MLflow is asked for and not installed, or its server does not take the run.
    """
    loggers: list[Logger] = [TensorBoardLog(results_dir, steps_done)]
    if spec.wandb.enable and importlib.util.find_spec("wandb") and _wandb_login():
        loggers.append(_wandb_logger(spec, results_dir))
        console.print(f"Weights & Biases: logging to project {spec.wandb.project} (wandb.enable=false turns it off)")
    if spec.mlflow.enable:
        loggers.append(_mlflow_logger(spec))
        console.print(f"MLflow: logging to experiment {spec.mlflow.experiment_name}")
    return loggers


def _wandb_logger(spec: ExperimentSpec, results_dir: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(
        project=spec.wandb.project,
        entity=spec.wandb.entity or None,
        tags=spec.wandb.tags,
        name=spec.wandb.name,
        reinit=spec.wandb.reinit,
        sync_tensorboard=spec.wandb.sync_tensorboard,
        save_code=spec.wandb.save_code,
        save_dir=results_dir,
        # It would store the command line, and with it `encryption_key=...`.
        settings={"x_disable_meta": True} if spec.encryption_key else None,
    )


def _mlflow_logger(spec: ExperimentSpec) -> Logger:
    if importlib.util.find_spec("mlflow") is None:
        raise UserError("mlflow.enable: MLflow is not installed; pip install 'mask-auto-labeler[mlflow]'")
    from mal.training.mlflow_log import mlflow_log

    return mlflow_log(spec.mlflow)


def _wandb_login() -> bool:
    """Whether this person has given the wandb client a key; asking would stop a batch job."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", _WANDB_HOST)).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
