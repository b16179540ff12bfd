"""Annotation formats: convert each to COCO, and from COCO."""
