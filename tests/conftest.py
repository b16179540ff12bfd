"""What all tests share: the reference data, threads, how examples are drawn, and the rule for GPU tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.shared_data import REPOSITORY, has_shared_data, shared_folder

# Read by torch when it is first imported, so a test that does not need torch does not pay for it here.
# Under pytest-xdist every worker keeps to one thread: two workers with all cores each would only fight.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# No clock decides over a test; and a change is not refused for an example that an earlier run did not draw.
settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("project")


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_in_the_checkout():
    """No test writes files into the folder of the repository: that folder is somebody's work."""
    before = _files_of_the_root()
    yield
    assert _files_of_the_root() <= before


def _files_of_the_root() -> set[str]:
    return {path.name for path in REPOSITORY.iterdir() if path.is_file() and not path.name.startswith(".")}


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference photos and data sets, which may not be published."""
    if not has_shared_data():
        pytest.skip(f"no reference data: {shared_folder()} has no folder 'conformance' (set MAL_SHARED to where it is)")
    return shared_folder()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A folder of generated pictures of objects, in the layout of a reference set: boxes to train on, exact masks."""
    from mal.sample.generate import make_sample

    folder = tmp_path_factory.mktemp("scenes")
    make_sample(folder, num_train_images=12, num_val_images=10, image_size=(480, 360))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``gpu`` on a machine without CUDA."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items and not _has_cuda():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
