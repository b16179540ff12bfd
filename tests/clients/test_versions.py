"""The page on formats names the releases that are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

NAMES = {
    "cvat-cli": "CVAT CLI",
    "fiftyone": "FiftyOne",
    "label-studio": "Label Studio",
    "label-studio-sdk": "Label Studio SDK",
    "labelme": "LabelMe",
}


@pytest.mark.parametrize("wanted", sorted(Path(__file__).parent.glob("*.txt")), ids=lambda path: path.stem)
def test_the_page_names_the_release_of_each_program(repository, wanted):
    name, _, version = wanted.read_text(encoding="utf-8").splitlines()[0].partition("==")
    page = (repository / "docs/formats.md").read_text(encoding="utf-8")
    assert f"| {NAMES.get(name, name.capitalize())} {version} |" in page
