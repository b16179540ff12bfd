"""Other programs, each in a virtual environment of its own, asked what they make of files that we wrote."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import REPOSITORY

VENVS = REPOSITORY / ".venv-clients"
INSIDE = Path(__file__).parent / "inside"
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
QUIET = {  # nothing is downloaded, installed or sent to anybody
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "DO_NOT_TRACK": "1",
    "LATEST_VERSION_CHECK": "false",
    "COLLECT_ANALYTICS": "false",
    "QT_QPA_PLATFORM": "offscreen",
}


def client_python(name: str) -> Path:
    """The Python of a client's environment; skips the test where the client is not installed."""
    if not (VENVS / name / "installed.txt").is_file():
        pytest.skip(f"{name} is not installed (make clients-check)")
    return VENVS / name / "bin/python"


def ask(name: str, script: str, *arguments: object, home: Path, cwd: Path | None = None) -> Any:
    """Run a script of ``inside/`` in a client's environment.

    Args:
        name: the client's environment.
        script: file name without its ending; it prints its answer as JSON in its last line.
        arguments: given to the script as texts.
        home: where the client may keep its settings.
        cwd: the folder it runs in, by default ``home``.
    """
    env = {**os.environ, **NO_NETWORK, **QUIET, "HOME": str(home), "YOLO_CONFIG_DIR": str(home)}
    env.pop("PYTHONPATH", None)
    command = [str(client_python(name)), str(INSIDE / f"{script}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=cwd or home)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])
