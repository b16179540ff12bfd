"""Annotation formats beside COCO, each read into a COCO file and written from one."""
