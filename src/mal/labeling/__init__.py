"""Labeling at any size: plan of the work, shards that a killed run resumes from, the file that they become."""
