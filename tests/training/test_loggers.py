from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch.loggers
import pytest

from mal.errors import UserError
from mal.training import loggers
from tests.small_networks import small_spec


@pytest.fixture
def wandb_installed(monkeypatch, tmp_path):
    """The client is there and would log; nothing leaves this machine."""
    made = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(lightning.pytorch.loggers, "WandbLogger", lambda **options: made.append(options) or "wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return made


def names(spec, folder):
    return [
        logger if isinstance(logger, str) else type(logger).__name__ for logger in loggers.run_loggers(spec, folder)
    ]


def test_tensorboard_files_lie_in_the_results_folder(tmp_path):
    (logger,) = loggers.run_loggers(small_spec(wandb={"enable": False}), tmp_path)
    assert Path(logger.log_dir) == tmp_path / "tensorboard"


def test_wandb_is_used_by_who_is_logged_in_to_it(wandb_installed, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert names(small_spec(), tmp_path) == ["TensorBoardLog", "wandb"]
    assert wandb_installed[0]["save_dir"] == tmp_path


@pytest.mark.parametrize(("key", "settings"), [(None, None), ("hunter2", {"x_disable_meta": True})])
def test_wandb_does_not_store_a_command_line_with_a_key_in_it(wandb_installed, monkeypatch, tmp_path, key, settings):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    names(small_spec(encryption_key=key), tmp_path)
    assert wandb_installed[0]["settings"] == settings


def test_a_login_file_counts_as_logged_in(wandb_installed, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine api.wandb.ai login user password x\n")
    netrc.chmod(0o600)
    assert names(small_spec(), tmp_path) == ["TensorBoardLog", "wandb"]


@pytest.mark.parametrize("content", [None, "machine other.example login a password b\n", "not a netrc file"])
def test_nobody_is_asked_for_a_login(wandb_installed, tmp_path, content):
    if content is not None:
        (tmp_path / ".netrc").write_text(content)
    assert names(small_spec(), tmp_path) == ["TensorBoardLog"]


def test_wandb_can_be_switched_off(wandb_installed, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert names(small_spec(wandb={"enable": False}), tmp_path) == ["TensorBoardLog"]


def test_mlflow_that_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'mask-auto-labeler\[mlflow\]'"):
        names(small_spec(mlflow={"enable": True}), tmp_path)


def test_mlflow_is_left_alone_unless_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server.example")
    assert names(small_spec(wandb={"enable": False}), tmp_path) == ["TensorBoardLog"]
