"""Labelling at any size: plan of the work, shards that a killed run continues from, the file that they become."""
