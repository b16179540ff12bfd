from __future__ import annotations

import pytest

from mal.config.schema import ExperimentSpec
from mal.config.secrets import encryption_key_of


@pytest.mark.parametrize(
    ("in_spec", "in_environment", "key"),
    [("a", "b", "a"), ("a", None, "a"), (None, "b", "b"), ("", "b", "b"), (None, "", None), (None, None, None)],
)
def test_the_key_of_the_spec_goes_before_that_of_the_environment(monkeypatch, in_spec, in_environment, key):
    monkeypatch.delenv("MAL_ENCRYPTION_KEY", raising=False)
    if in_environment is not None:
        monkeypatch.setenv("MAL_ENCRYPTION_KEY", in_environment)
    assert encryption_key_of(ExperimentSpec(encryption_key=in_spec)) == key


def test_without_a_spec_the_environment_tells_the_key(monkeypatch):
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", "b")
    assert encryption_key_of() == "b"
