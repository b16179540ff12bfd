"""Run all golden tests and print the table of docs/conformance.md: ``python -m tests.conformance.differences``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conformance.pack import DIFFERENCES


def main() -> int:
    """Print the largest difference of each case; returns the exit code of the tests."""
    exit_code = pytest.main(["-q", str(Path(__file__).parent)])
    print("| section | case | largest difference | allowed | measure |")
    print("| --- | --- | ---: | ---: | --- |")
    for (section, case), found in DIFFERENCES.items():
        print(f"| {section} | {case} | {found.largest:.2g} | {found.tolerance:g} | {found.unit} |")
    return int(exit_code)


if __name__ == "__main__":
    sys.exit(main())
