"""COCO files, boxes, pictures and crops: everything between the disk and the network."""
