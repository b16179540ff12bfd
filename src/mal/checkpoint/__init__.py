"""Checkpoint files: written atomically, read without executing anything in them."""
