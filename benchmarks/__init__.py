"""Measurements, one file a question. ``python -m benchmarks.run`` (``make bench``) answers all of them."""
