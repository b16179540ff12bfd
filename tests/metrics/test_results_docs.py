from __future__ import annotations

from mal.metrics.results_docs import HEADING, results_tables


def test_the_page_on_evaluation_explains_every_key_and_column(repository):
    page = (repository / "docs" / "evaluation.md").read_text(encoding="utf-8")
    command = "python -m mal.metrics.results_docs docs/evaluation.md"
    assert HEADING + page.split(HEADING)[1] == results_tables(), f"write it anew: {command}"
