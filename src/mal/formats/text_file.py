"""Text files of data sets: names, lists, labels."""

from __future__ import annotations

from pathlib import Path

from mal.errors import UserError


def read_text_file(path: Path) -> str:
    """The text of a file in UTF-8, without a byte-order mark.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no plain file: a text file is expected")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
