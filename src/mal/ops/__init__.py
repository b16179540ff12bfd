"""Tensor operations; they import nothing else of the project."""
