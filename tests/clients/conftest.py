"""Tests that ask other programs, and a small set of labels to show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.labels import Labels, write_labels

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder ``clients``, but for what needs no client."""
    for item in items:
        if HERE in item.path.parents and item.path.name != "test_versions.py":
            item.add_marker(pytest.mark.clients)


@pytest.fixture
def labels(tmp_path) -> Labels:
    """A COCO file of masks and its pictures."""
    return write_labels(tmp_path / "given")
