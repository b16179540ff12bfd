"""Where the figures of a run go besides the terminal."""

from __future__ import annotations

import importlib.util
import netrc
import os
from pathlib import Path
from urllib.parse import urlparse

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from mal.config.schema import ExperimentSpec
from mal.console import console

_WANDB_HOST = "https://api.wandb.ai"


def run_loggers(spec: ExperimentSpec, results_dir: Path) -> list[Logger]:
    """TensorBoard files in ``<results_dir>/tensorboard``, and Weights & Biases where a person is logged in to it."""
    loggers: list[Logger] = [TensorBoardLogger(results_dir, name="tensorboard", version="")]
    if spec.wandb.enable and importlib.util.find_spec("wandb") and _wandb_login():
        loggers.append(_wandb_logger(spec, results_dir))
        console.print(f"Weights & Biases: logging to project {spec.wandb.project} (wandb.enable=false turns it off)")
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
    )


def _wandb_login() -> bool:
    """Whether this person has given the wandb client a key; asking would stop a batch job."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", _WANDB_HOST)).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
