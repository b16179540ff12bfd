from __future__ import annotations

import pytest

from mal.tasks.dry_run_tables import bytes_text, rough_duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0042, "0.0042 seconds"), (9.96, "10 seconds"), (119, "119 seconds"), (121, "2.0 minutes"), (9000, "2.5 hours"),
     (3 * 86400, "3.0 days")],
)  # fmt: skip
def test_a_duration_is_told_in_the_unit_that_people_would_use(seconds, text):
    assert rough_duration_text(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(11.94e6, "11.9 MB"), (999.9e6, "1e+03 MB"), (2.34e9, "2.34 GB")])
def test_a_size_is_told_with_three_digits(count, text):
    assert bytes_text(count) == text
