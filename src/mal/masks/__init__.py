"""Masks: from logits to full-image masks, and their run-length encoding."""
