"""What the README and the examples tell people to type works when typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mal.config.load import load_spec

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("examples/**/*.md")]
EXAMPLE_SPECS = sorted(REPOSITORY.glob("examples/**/*.yaml"))


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.slow
def test_the_readmes_tour_works_when_pasted(tmp_path):
    tour = _section(REPOSITORY / "README.md", "Five-minute tour")
    shell = "\n".join(re.findall(r"```bash\n(.*?)```", tour, flags=re.DOTALL))
    python = "\n".join(re.findall(r"```python\n(.*?)```", tour, flags=re.DOTALL))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in (["bash", "-euo", "pipefail", "-c", shell], [sys.executable, "-c", python]):
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for promised in ("results/train/mal_model_latest.pth", "results/inference/masks.json", "masks.json", "overlay.png"):
        assert (tmp_path / promised).is_file(), promised


@pytest.mark.parametrize("path", EXAMPLE_SPECS, ids=_name)
def test_every_example_spec_is_valid(path):
    load_spec(path)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_to_a_file_of_the_project_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def _section(page: Path, title: str) -> str:
    """The text under a second-level heading."""
    return page.read_text(encoding="utf-8").split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
