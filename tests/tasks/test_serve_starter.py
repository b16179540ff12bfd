from __future__ import annotations

import os
import re
import sys

import pytest

from mal.cli import main
from mal.commands.serve import make_parser, run
from mal.labeler import MaskAutoLabeler
from mal.masks.rle import mask_from_rle
from mal.starter.files import starter_path
from tests.cli.test_without_training_packages import SITE
from tests.serve.serving import BOXES, pixels, png
from tests.tasks.test_serve import ask, started


def test_without_a_checkpoint_the_starter_serves_its_masks_where_pytorch_is_not_installed(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH"), *sys.path]))
    with started("--images", tmp_path, "--batch-size", "1", PYTHONPATH=path) as (_, port, line):
        status, answer = ask(port, "POST", "/v1/masks", {"image": {"path": "a.png"}, "boxes_xyxy": BOXES})
        described = ask(port, "GET", "/v1/model")[1]
    said = re.search(r"with the starter that comes with mal, (mal-starter-[0-9a-f]{12}) on cpu", line)
    assert said, line
    assert (status, answer["model_version"], described["version"]) == (200, said[1], said[1])
    expected = MaskAutoLabeler(device="cpu").label(pixels(), BOXES, batch_size=1)
    assert [mask_from_rle(mask["mask"]).tolist() for mask in answer["masks"]] == expected.tolist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--train-spec", "spec.yaml"], "--train-spec goes with --runs"),
        (["--runs", "runs", "--checkpoint", "own.pth"], "--runs with a --checkpoint goes with --train-spec"),
    ],
)
def test_options_of_training_that_do_not_fit_are_told(options, said, capsys):
    assert main(["serve", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_server_that_trains_starts_from_the_starter_as_a_checkpoint(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("mal.tasks.serve.run", lambda options: asked.append(options) or 0)
    for options in ([], ["--runs", str(tmp_path / "runs")]):
        assert run(make_parser("").parse_args(options)) == 0
    found = [options.spec.inference.checkpoint for options in asked]
    assert found == [str(starter_path(trainable=trainable)) for trainable in (False, True)]
