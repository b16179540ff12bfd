"""Write the model card of the starter, docs/starter.md, with a credit for every picture: `python -m starter.card`."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

from mal.starter.files import starter_path
from starter.gather import MOST_BOXES, NUM_SCENES, PICTURES

CARD = Path(__file__).parent.parent / "docs" / "starter.md"
TEXT = Path(__file__).with_name("card.md")
MARK = "<!-- made by python -m starter.card -->"


def main() -> None:
    """Write the card: the text of card.md, then digests and credits."""
    text = TEXT.read_text(encoding="utf-8").format(
        num_scenes=NUM_SCENES, limits=" and ".join(f"{count} of {name}" for name, count in MOST_BOXES.items())
    )
    CARD.write_text("\n".join([text, MARK, "", *_digests(), "", *_credits()]) + "\n", encoding="utf-8")


def _digests() -> Iterator[str]:
    yield "## Files"
    yield ""
    yield "| file | MB | SHA-256 |"
    yield "| --- | ---: | --- |"
    for path in (starter_path(trainable=True), starter_path(trainable=False)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield f"| `{path.name}` | {path.stat().st_size / 1e6:.1f} | `{digest}` |"


def _credits() -> Iterator[str]:
    yield "## Pictures"
    yield ""
    yield "SHA-256 of each is in [starter/pictures.csv](../starter/pictures.csv)."
    rows = list(csv.DictReader(PICTURES.open(encoding="utf-8", newline="")))
    for name in dict.fromkeys(row["set"] for row in rows):
        yield from ["", f"### {name}", "", "| picture | license | credit | source |", "| --- | --- | --- | --- |"]
        for row in rows:
            if row["set"] == name:
                source = " ".join(part for part in (row["repository"], row["commit"][:12], row["path"]) if part)
                yield f"| {row['file_name']} | {row['license']} | {row['credit']} | {source} |"


if __name__ == "__main__":
    main()
