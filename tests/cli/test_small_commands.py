from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mal.cli import main
from mal.config.load import load_spec
from mal.config.schema import ExperimentSpec


@pytest.mark.parametrize("arguments", [[], ["train"], ["evaluate"], ["inference"]])
def test_spec_prints_a_spec_that_loads(arguments, tmp_path, capsys):
    assert main(["spec", *arguments]) == 0
    (tmp_path / "spec.yaml").write_text(capsys.readouterr().out)
    assert load_spec(tmp_path / "spec.yaml") == ExperimentSpec()


def test_spec_prints_a_json_schema(capsys):
    assert main(["spec", "--json-schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["strategy"]["enum"] == ["ddp", "fsdp"]


def test_spec_prints_tables(capsys):
    assert main(["spec", "--tables"]) == 0
    assert "| `train.lr` | number | `1.5e-06` |" in capsys.readouterr().out


def test_sample_writes_a_data_set_whose_printed_lines_are_overrides(tmp_path, capsys):
    assert main(["sample", str(tmp_path / "shapes"), "--images", "3", "--seed", "7"]) == 0
    overrides = [*capsys.readouterr().out.split(), f"results_dir={tmp_path}"]
    spec = load_spec(None, overrides, task="train")
    assert len(list(Path(spec.dataset.train_img_dir).iterdir())) == 2
    assert len(list(Path(spec.dataset.val_img_dir).iterdir())) == 1


@pytest.mark.parametrize("arguments", [["--images", "1"], ["--images", "x"], ["--seed", "-1"]])
def test_sample_refuses_numbers_that_make_no_data_set(arguments, tmp_path):
    assert main(["sample", str(tmp_path), *arguments]) == 2


def test_sample_into_a_file_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["sample", str(tmp_path / "file"), "--images", "2"]) == 1
    assert capsys.readouterr().err.startswith(f"mal: error: {tmp_path}/file: the sample cannot be written")


@pytest.mark.parametrize(
    ("arguments", "asked"), [([], (Path("demo"), False)), (["--out", "x", "--quick"], (Path("x"), True))]
)
def test_demo_hands_on_what_it_was_asked(arguments, asked, monkeypatch):
    calls = []
    task = SimpleNamespace(run=lambda out, *, quick: calls.append((out, quick)) or 0)
    monkeypatch.setitem(sys.modules, "mal.tasks.demo", task)
    monkeypatch.setattr("mal.tasks.demo", task, raising=False)
    assert main(["demo", *arguments]) == 0
    assert calls == [asked]
