"""Escape text from files for terminals and logs."""

from __future__ import annotations

import re

# Control characters and line separators would control a terminal or split a log line, direction marks (Unicode Annex 9)
# would reorder a line on screen, lone surrogates cannot be encoded, and XML may not hold the last two.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    r"""The text on one line, with an escape such as ``\x1b`` or ``\n`` for each unprintable character."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
