"""Contact sheet: many small pictures in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mal.report.overlay import Pixels

PAPER, INK, QUIET_INK = (250, 249, 247), (24, 26, 31), (104, 108, 118)
MARGIN, GAP = 32, 12


def contact_sheet(
    rows: Sequence[Sequence[Pixels]],
    *,
    heading: str,
    lines: Sequence[str],
    column_titles: Sequence[str],
    row_notes: Sequence[str],
    cell_width: int = 320,
) -> Pixels:
    """Lay pictures out as a table and return it as (H, W, 3) uint8.

    rows: the pictures, (h, w, 3) uint8, one per column; each is scaled to `cell_width`. heading and lines: written
    above the table. column_titles: one per column. row_notes: one per row, written below it.
    """
    cells = [[_scaled(picture, cell_width) for picture in row] for row in rows]
    row_heights = [max(cell.height for cell in row) + 30 for row in cells]
    top = MARGIN + 52 + 26 * len(lines) + 44
    width = 2 * MARGIN + len(column_titles) * cell_width + (len(column_titles) - 1) * GAP
    sheet = Image.new("RGB", (width, top + sum(row_heights) + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 6), heading, font=ImageFont.load_default(size=34), fill=INK)
    for number, line in enumerate(lines):
        pen.text((MARGIN, MARGIN + 48 + 26 * number), line, font=ImageFont.load_default(size=17), fill=QUIET_INK)
    columns = [MARGIN + number * (cell_width + GAP) for number in range(len(column_titles))]
    for x, title in zip(columns, column_titles, strict=True):
        pen.text((x, top - 28), title, font=ImageFont.load_default(size=17), fill=INK)
    y = top
    for row, height, note in zip(cells, row_heights, row_notes, strict=True):
        for x, cell in zip(columns, row, strict=True):
            sheet.paste(cell, (x, y))
        pen.text((MARGIN, y + height - 27), note, font=ImageFont.load_default(size=14), fill=QUIET_INK)
        y += height
    return np.array(sheet)


def _scaled(picture: Pixels, width: int) -> Image.Image:
    image = Image.fromarray(picture)
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS)
