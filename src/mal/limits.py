"""What one file or record may cost: every limit has its reason here, and nowhere else.

Files come from anybody, and a small file can ask for any amount of memory. A limit lies well above honest work; an
error that it causes says the limit, and how to raise it where a user may want to.
"""

from __future__ import annotations

MAX_IMAGE_PIXELS = 180_000_000
"""Pixels of one picture, unless the user allows more: 540 MB as RGB, in each process that reads pictures."""

MAX_PICTURE_BYTES = 4 * 2**30
"""Bytes of one picture file: 180 megapixels of four 16-bit channels take 1.4 GB; a sparse file may take terabytes."""

MAX_OUTLINE_LENGTH = 5_000_000
"""Pixels of all outlines of one annotation: pycocotools takes up to 80 bytes for each, even far outside the image."""

MAX_UNPACKED_BYTES = 2 * 2**30
"""Bytes of one file that comes out of an archive: the largest honest annotation files have some hundred megabytes."""

MAX_YAML_NODES = 1_000_000
"""Values of a YAML file once its aliases are followed: a data set of 100,000 names has a tenth of that."""
