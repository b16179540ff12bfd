"""What one file or record may cost: every limit has its reason here, and nowhere else.

Files come from anybody, and a small file can ask for any amount of memory. A limit lies well above honest work; an
error that it causes says the limit, and how to raise it where a user may want to.
"""

from __future__ import annotations

MAX_IMAGE_PIXELS = 178_000_000
"""Pixels of one picture, unless the user allows more: 534 MB as RGB, in each process that reads pictures."""

MAX_PICTURE_BYTES = 4 * 2**30
"""Bytes of one picture file: 180 megapixels of four 16-bit channels take 1.4 GB; a sparse file may take terabytes."""

MAX_MASK_PIXELS = 2**31 - 1
"""Width times height of an image with masks: pycocotools keeps run lengths in 32 bits, which some systems sign."""

MAX_MASK_PICTURE_PIXELS = 500_000_000
"""Pixels of a picture of masks that is written: 2 GB while it is made, at more than twice an honest slide."""

MAX_LISTED_FILES = 100_000
"""Files of a folder that are listed to find one whose name is like another: a fraction of a second's work."""

MAX_JPEG_SCANS = 1_000
"""Scans of a progressive JPEG, honestly a few dozen: each goes over the whole picture, for a dozen bytes of file."""

MAX_OUTLINE_LENGTH = 5_000_000
"""Pixels of all outlines of one annotation: pycocotools takes up to 80 bytes for each, even far outside the image."""

MAX_UNPACKED_BYTES = 2 * 2**30
"""Bytes of one file that comes out of an archive: the largest honest annotation files have some hundred megabytes."""

MAX_UNPACKED_RATIO = 100
"""Bytes of such a file for each byte that it takes in the archive: annotations shrink to a tenth, spaces to nothing."""

UNPACKED_BYTES_IN_ANY_CASE = 64 * 2**20
"""Bytes of such a file that may shrink to any size: they fit everywhere, and small ones may be mostly spaces."""

MAX_YAML_NODES = 300_000
"""Values of a YAML file, aliases counted as what they repeat: a data set of 100,000 names has 200,000."""

MAX_SPEC_NODES = 10_000
"""Values of a spec, likewise: an honest one has some 300, and each costs the reader of references a millisecond."""

MAX_YAML_DEPTH = 50
"""Levels of lists and mappings: an honest file has 4, and readers recurse several of Python's 1,000 frames for each."""

YAML_CHARACTERS_OF_A_NODE = 1_000
"""A longer text counts as several values, since ten thousand aliases of a megabyte are ten gigabytes when written."""

MAX_REQUEST_BYTES = 64 * 2**20
"""Bytes of the body of a request to the server: a picture of 40 MB takes 54 in base64; larger ones go by path."""

MAX_WAITING_BYTES = 512 * 2**20
"""Bytes of the bodies of all requests that are in the server at once."""

MAX_EXPORT_BYTES = 2**30
"""Bytes of the export of a project of Label Studio: tens of thousands of tasks, some with brush masks."""

MAX_REQUEST_BOXES = 10_000
"""Boxes of a request to the server: crowded aerial photos have some thousand."""

MAX_SERVED_PIXEL_BYTES = 2**30
"""Bytes of the decoded images that the server works on at once: two of the largest, or forty of a good camera."""

SERVED_CACHE_BYTES = 256 * 2**20
"""Bytes of decoded images that the server keeps, since people draw several boxes on an image, one after the other."""
