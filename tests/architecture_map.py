"""The map of files in docs/architecture.md: one line a file, from its docstring. `make map` writes it again."""

from __future__ import annotations

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "mal"
PAGE = REPOSITORY / "docs" / "architecture.md"
TITLE = "## Map of files\n"


def file_map() -> str:
    """Markdown: a heading and a table for each folder of the package, a row for each of its files."""
    folders = sorted({path.parent for path in PACKAGE.rglob("*.py")})
    return "\n".join(_table(folder) for folder in folders if _files(folder))


def map_on_the_page() -> str:
    """The map as docs/architecture.md has it now."""
    return PAGE.read_text(encoding="utf-8").partition(TITLE)[2].strip() + "\n"


def _table(folder: Path) -> str:
    title = f"### `{folder.relative_to(REPOSITORY / 'src')}/`"
    about = _first_line(folder / "__init__.py")
    rows = [f"| `{path.name}` | {_first_line(path)} |" for path in _files(folder)]
    return "\n".join([title, "", about, "", "| file | what |", "| --- | --- |", *rows, ""])


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ").replace("``", "`")


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8").partition(TITLE)[0]
    PAGE.write_text(before + TITLE + "\n" + file_map(), encoding="utf-8")
