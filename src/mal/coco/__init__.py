"""Read and check COCO files; each annotation becomes a box or gets a note."""
