"""Labeling at any size: the work plan, shards from which a killed run resumes, and the label file."""
