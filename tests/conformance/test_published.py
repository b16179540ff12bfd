"""What the repository holds of the golden pack is that pack's, and small enough to carry."""

from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.extract import GOLDEN, extract
from tests.shared_data import has_shared_data, shared_folder

MOST_BYTES = 4_000_000


@pytest.mark.skipif(
    not has_shared_data(), reason=f"the golden pack's photo cases are not compared: no {shared_folder()}"
)
def test_the_published_numbers_are_those_of_the_pack(shared, tmp_path):
    extract(shared / "conformance", tmp_path)
    names = [sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in (tmp_path, GOLDEN)]
    assert names[0] == [name for name in names[1] if name.name != "README.md"]
    for name in names[0]:
        assert _same(tmp_path / name, GOLDEN / name), name


def test_all_of_it_stays_below_four_megabytes():
    here = Path(__file__).parent
    files = [path for part in ("golden", "regression") for path in (here / part).rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < MOST_BYTES


def _same(first: Path, second: Path) -> bool:
    if first.suffix != ".npz":
        return filecmp.cmp(first, second, shallow=False)
    with np.load(first) as ours, np.load(second) as theirs:
        return ours.files == theirs.files and all(np.array_equal(ours[name], theirs[name]) for name in ours.files)
