"""The errors that a user can mend: shown as one line each, without a traceback."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """A mistake in what the user gave: ``str(error)`` is one line that names the thing at fault and what to do."""


class SpecError(UserError):
    """Every problem found in one spec.

    Args:
        problems: one line each, in the order of the spec file.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
