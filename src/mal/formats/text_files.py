"""Text, XML and JSON files of other programs: decoded, parsed with line numbers, and checked field by field."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mal.coco.coco_file import show
from mal.errors import UserError
from mal.file_kinds import HEAD_BYTES, said_kind


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


_LINE = "\0line"  # attribute that holds where an element begins; no XML has one of that name
_DECLARED = re.compile(rb"""^<\?xml[^>]*?\bencoding\s*=\s*["']([\w.-]+)["']""")
_OF_THE_PARSER = ("utf-8", "utf8", "utf-16", "us-ascii", "iso-8859-1")
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc-kr": "cp949"}  # what files in fact hold


def parsed_xml(path: Path) -> Element:
    """The root of an XML file, in the encoding that it declares.

    Definitions of entities, which can blow a file up or read others, are refused.

    Raises:
        UserError: it cannot be read or is no XML; the line is named.
    """
    return xml_root(_read_bytes(path), path)


def xml_root(raw: bytes, path: Path) -> Element:
    """As `parsed_xml`, of the bytes of a file that messages call ``path``."""
    builder = TreeBuilder()
    text, encoding = _to_parser_encoding(raw, path)
    parser = expat.ParserCreate(encoding)

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, attributes | {_LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> None:
        raise UserError(f"{path}, line {parser.CurrentLineNumber}: a DOCTYPE, which no annotation needs: refused")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        said = said_kind(raw[:HEAD_BYTES], "an annotation file in XML", "xml", "text")
        if said is not None:
            raise UserError(f"{path} {said}") from error
        reason = expat.ErrorString(error.code)
        raise UserError(f"{path}, line {error.lineno}: not valid XML: {reason}") from error
    return builder.close()


def line_number(element: Element) -> str:
    """The line of its file in which an element begins."""
    return element.get(_LINE, "?")


def own_attributes(element: Element) -> dict[str, str]:
    """The attributes of an element as they are in its file."""
    return {name: value for name, value in element.items() if name != _LINE}


def _read_bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no plain file: an XML file is expected")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _to_parser_encoding(raw: bytes, path: Path) -> tuple[bytes, str | None]:
    """Prepare bytes for the parser: the bytes, and their encoding if it differs from the declared one."""
    declared = _DECLARED.match(raw)
    name = declared[1].decode("ascii").lower() if declared else "utf-8"
    if name in _OF_THE_PARSER:
        return raw, None
    try:
        return raw.decode(_WIDER.get(name, name)).encode("utf-8"), "utf-8"
    except (LookupError, UnicodeError):
        pass
    try:
        raw.decode("utf-8")  # many tools declare one encoding and write another
    except UnicodeDecodeError:
        raise UserError(f"{path} cannot be read in the encoding that it declares ({name}): save it as UTF-8") from None
    return raw, "utf-8"


Json = dict[str, Any]


def object_at(record: Json, key: str) -> Json:
    """The object under a key.

    Raises:
        ValueError: it is missing or something else.
    """
    return an_object(_present(record, key), f"the key {key!r}")


def list_at(record: Json, key: str) -> list[Any]:
    """The list under a key.

    Raises:
        ValueError: it is missing or something else.
    """
    value = _present(record, key)
    if not isinstance(value, list):
        raise ValueError(f"the key {key!r} is {show(value)}, not a list")
    return value


def text_at(record: Json, key: str) -> str:
    """The text under a key; numbers, which people use as labels, become texts.

    Raises:
        ValueError: it is missing, empty or something else.
    """
    value = _present(record, key)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        raise ValueError(f"the key {key!r} is {show(value)}, not a text")
    return str(value)


def number_at(record: Json, key: str) -> float:
    """The finite number under a key.

    Raises:
        ValueError: it is missing or something else.
    """
    return a_number(_present(record, key), f"the key {key!r}")


def points_at(record: Json, key: str) -> list[tuple[float, float]]:
    """The list of x, y pairs under a key.

    Raises:
        ValueError: it is missing or something else.
    """
    found = []
    for point in list_at(record, key):
        if not isinstance(point, list) or len(point) != 2:
            raise ValueError(f"a point is {show(point)}, not x and y")
        found.append((a_number(point[0], "a point's x"), a_number(point[1], "a point's y")))
    return found


def an_object(value: Any, what: str) -> Json:
    """The value itself.

    Raises:
        ValueError: it is no object.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {show(value)}, not an object")
    return value


def a_number(value: Any, what: str) -> float:
    """A finite number, also one that is written as a text.

    Raises:
        ValueError: it is something else.
    """
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} is {show(value)}, not a number")
    return number


def pixels_or_none(record: Json, width: str, height: str) -> tuple[int, int] | None:
    """The size under two keys; None where a side is missing, null, zero or no whole number of pixels."""
    sides = [record.get(key) for key in (width, height)]
    whole = [_length(side) for side in sides]
    return (whole[0], whole[1]) if all(whole) else None


def _length(value: Any) -> int:
    """Whole pixels; 0 where the value is none."""
    try:
        number = a_number(value, "a side")
    except ValueError:
        return 0
    return int(number) if 0 < number < 2**31 and number.is_integer() else 0


def _present(record: Json, key: str) -> Any:
    if key not in record:
        raise ValueError(f"the key {key!r} is missing")
    return record[key]
