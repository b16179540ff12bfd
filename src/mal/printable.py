"""Text from files as a terminal or a log may have it."""

from __future__ import annotations

import re

# Control characters and separators of lines would steer a terminal or split a line of a log, marks of direction (as
# Unicode's report 9 lists them) would show a line in another order than it has, lone surrogates cannot be encoded, and
# no XML may hold the last two.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    r"""The text on one line, with an escape such as ``\x1b`` or ``\n`` for each character that is no picture."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
