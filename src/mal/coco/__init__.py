"""COCO files: read in parts, checked record by record, turned into boxes; every record ends as a box or in a note."""
