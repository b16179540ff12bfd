from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from mal.checkpoint.saved_spec import saved_spec
from mal.cli import main
from mal.commands.serve import make_parser
from mal.commands.spec_flags import spec_of_flags, values_given
from mal.tasks.serve import _settings_suffix
from tests.serve.serving import BOXES, png
from tests.small_networks import small_network, small_spec

TOKEN = "a token that is long enough"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    network = small_network()
    tensors = {f"{name}.{key}": value for name in ("student", "teacher") for key, value in network.state_dict().items()}
    path = tmp_path_factory.mktemp("model") / "small.pth"
    spec = small_spec(dataset={"crop_size": 64})
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, "patch")}, path)
    return path


@contextmanager
def started(*options: object, **env: str) -> Iterator[tuple[subprocess.Popen, int, str]]:
    """A server in a process of its own, the port that it took, and the line that says so."""
    command = [sys.executable, "-m", "mal", "serve", "--device", "cpu", "--port", "0", *map(str, options)]
    with subprocess.Popen(
        command,
        env={**os.environ, "MAL_SERVE_TOKEN": TOKEN, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        line = next(line for line in process.stdout if line.startswith("serving on"))
        try:
            yield process, int(line.split()[2].rpartition(":")[2]), line
        finally:
            process.kill()


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def test_the_command_serves_masks_until_it_is_asked_to_stop(checkpoint, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    with started("--checkpoint", checkpoint, "--images", tmp_path) as (process, port, line):
        assert f"with {checkpoint}, mal-small-" in line
        assert ask(port, "GET", "/health")[1]["status"] == "UP"
        status, answer = ask(port, "POST", "/v1/masks", {"image": {"path": "a.png"}, "boxes_xyxy": BOXES})
        assert (status, len(answer["masks"])) == (200, 3)
        assert ask(port, "GET", "/v1/model")[1]["version"].startswith("mal-small-")
        assert {"/v1/masks", "/predict"} < ask(port, "GET", "/openapi.json")[1]["paths"].keys()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_the_version_changes_with_the_settings_that_decide_masks(checkpoint):
    versions = set()
    for options in ([], ["--batch-size", "2"], ["--threshold", "0.4"], ["--refine", "graph_cut"]):
        parsed = make_parser("").parse_args(["--checkpoint", str(checkpoint), *options])
        versions.add(_settings_suffix(spec_of_flags(parsed.parser, values_given(parsed))))
    assert len(versions) == 3
    assert "" in versions


def test_a_port_that_is_taken_is_told(checkpoint, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--checkpoint", str(checkpoint), "--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "a token is needed"),
        (["--images", "nowhere"], "--images nowhere: no such folder"),
        (["--checkpoint", "nothing.pth"], "--checkpoint nothing.pth: no such file"),
        (["--allow-url", "photos"], "photos: must be a URL"),
        (["--label-studio", "studio"], "must be a URL"),
    ],
)
def test_an_option_that_cannot_be_used_is_told_before_anything_is_loaded(
    checkpoint, options, said, capsys, monkeypatch, tmp_path
):
    monkeypatch.delenv("MAL_SERVE_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--checkpoint", str(checkpoint), "--port", "0", *options]) == 1
    assert said in capsys.readouterr().err


def test_a_port_must_be_one(checkpoint, capsys):
    assert main(["serve", "--checkpoint", str(checkpoint), "--port", "70000"]) == 2
    assert "'70000' is not a port" in capsys.readouterr().err
