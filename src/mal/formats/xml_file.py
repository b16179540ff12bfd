"""Parse annotation XML safely: no entity definitions; keeps line numbers."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mal.errors import UserError
from mal.file_kinds import HEAD_BYTES, said_kind

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
