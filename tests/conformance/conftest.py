"""Fixtures of the golden tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.pack import Recipe, load_recipe


@pytest.fixture(scope="session")
def public(shared) -> Path:
    """The folder of the golden cases."""
    return shared / "conformance" / "public"


@pytest.fixture(scope="session")
def recipe(shared) -> Recipe:
    """Makes the weights that the reference was run with."""
    return Recipe(load_recipe(shared / "conformance" / "weights_recipe.py"))
