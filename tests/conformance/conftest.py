"""Fixtures of the conformance tests, and which cases there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.extract import GOLDEN
from tests.conformance.pack import DIFFERENCES, PACK, REGRESSION, Cases
from tests.shared_data import has_shared_data, shared_folder

CASE_SETS = {REGRESSION: Cases(REGRESSION, Path(__file__).parent / "regression")}
if has_shared_data():
    CASE_SETS[PACK] = Cases(PACK, shared_folder() / "conformance/public")


@pytest.fixture(scope="session")
def golden() -> Path:
    """The published numbers of the public implementation."""
    return GOLDEN


@pytest.fixture(scope="session")
def pack(shared) -> Cases:
    """All cases of the public implementation, with their photos; where the pack is absent, skips."""
    return Cases(PACK, shared / "conformance/public")


@pytest.fixture(scope="session", params=[*CASE_SETS])
def cases(request) -> Cases:
    """Cases that start from a picture: our regressions always, the public implementation's where the pack is there."""
    return CASE_SETS[request.param]


@pytest.fixture(scope="session")
def case_sets() -> dict[str, Cases]:
    """The same by name, for tests whose runs differ from set to set."""
    return CASE_SETS


@pytest.fixture(autouse=True)
def _regressions_stay_out_of_the_table(request) -> Iterator[None]:
    before = dict(DIFFERENCES)
    yield
    if f"[{REGRESSION}" in request.node.name:
        DIFFERENCES.clear()
        DIFFERENCES.update(before)
