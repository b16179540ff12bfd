"""The wheel that users install: it holds what `mal auto` takes, and gives the masks of the checkout without PyTorch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mal.cli import main
from mal.sample.photos import write_photos
from tests.cli.test_without_training_packages import SITE
from tests.shared_data import REPOSITORY
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow
MOST_BYTES = 30e6


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with a wheel and an sdist."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "wheel", "-t", "sdist"]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """A folder of packages that holds what the wheel brings, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two photos with boxes."""
    folder = tmp_path_factory.mktemp("set") / "photos"
    paths = write_photos(folder)
    document = json.loads(paths.boxes.read_text())
    images = document["images"][2:4]
    wanted = {image["id"] for image in images}
    boxes = [each for each in document["annotations"] if each["image_id"] in wanted]
    paths.boxes.write_text(json.dumps(document | {"images": images, "annotations": boxes}))
    return folder


def run_installed(site: Path, *arguments: str | Path, more: Path | None = None, **options: Any) -> str:
    """Run ``mal`` from a folder of packages; the others are those of this Python."""
    path = os.pathsep.join(str(folder) for folder in (site, more) if folder)
    code = f"import mal, sys; assert mal.__file__.startswith({str(site)!r}); from mal.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "HOME": str(site / "nowhere")},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def masks(folder: Path) -> Any:
    return json.loads((folder / "masks.json").read_text())


def test_wheel_and_sdist_hold_what_they_should_and_no_more(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert max(wheel.stat().st_size, sdist.stat().st_size) < MOST_BYTES
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = [
        path for path in (REPOSITORY / "src" / "mal").rglob("*") if path.is_file() and "__pycache__" not in str(path)
    ]
    assert {str(path.relative_to(REPOSITORY / "src")) for path in ours} == {n for n in names if n.startswith("mal/")}
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"src", "tests", "docs", "scripts", "Makefile", "README.md", "LICENSE", "pyproject.toml"} <= tops
    assert not [name for name in tops if name.endswith((".png", ".pth"))]


def test_auto_gives_the_same_masks_from_the_wheel_without_pytorch(installed, photos, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    out = tmp_path / "without"
    told = run_installed(
        installed, "auto", photos, "--minutes", "0", "--out", out, more=tmp_path / "site", cwd=tmp_path
    )
    assert [line.split(":")[0] for line in told.splitlines()[-3:]] == ["masks", "look first at", "next"]
    assert main(["auto", str(photos), "--minutes", "0", "--out", str(tmp_path / "with")]) == 0
    assert masks(out) == masks(tmp_path / "with")
    assert all(each["area"] for each in masks(out)["annotations"])


def test_an_installation_that_may_not_be_written_labels_where_numba_finds_no_place_for_its_cache(
    installed, photos, tmp_path
):
    with small_disk(tmp_path / "disk", 64) as disk:
        site = disk / "site"
        shutil.copytree(installed, site)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        photo = next((photos / "images").iterdir())
        box = ["--image", photo, "--box", "40,30,200,180", "--refine", "graph_cut", "--out", "masks.json"]
        run_installed(site, "label", *box, cwd=tmp_path)
    assert masks(tmp_path)["annotations"][0]["area"]
