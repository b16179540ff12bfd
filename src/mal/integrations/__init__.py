"""Functions that other programs load in their own process."""
