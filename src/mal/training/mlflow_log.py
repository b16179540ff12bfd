"""The MLflow logger, whose failures never stop a run."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only
from mlflow.exceptions import MlflowException

from mal.config.sections import MlflowConfig
from mal.console import console
from mal.errors import UserError, first_line


class MlflowLog(MLFlowLogger):
    """Lightning's MLflow logger that warns once and stops logging if the server becomes unreachable.

    Every start of a run, also a resumed one, is a new run at the server.
    """

    _is_lost = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send metrics by name at a step."""
        if self._is_lost:
            return
        try:
            super().log_metrics(metrics, step)
        except MlflowException as error:
            self._is_lost = True
            console.print(f"MLflow: {first_line(error)}; training goes on, nothing more is sent")

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Report the run's end to the server."""
        if self._is_lost:
            return
        try:
            super().finalize(status)
        except MlflowException as error:
            console.print(f"MLflow: {first_line(error)}; the end of the run is not marked there")


def mlflow_log(config: MlflowConfig) -> MlflowLog:
    """Open a run at the tracking server.

    Raises:
        UserError: no server is named, or the server refuses the run.
    """
    uri = config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise UserError(
            "mlflow.enable: no server is named; set mlflow.tracking_uri or MLFLOW_TRACKING_URI, or mlflow.enable=false"
        )
    try:
        logger = MlflowLog(experiment_name=config.experiment_name, run_name=config.run_name, tracking_uri=uri)
        _ = logger.experiment  # opens the run now, so that a mistake is reported before training
    except MlflowException as error:
        raise UserError(f"mlflow.tracking_uri: the run cannot be logged there: {first_line(error)}") from error
    return logger
