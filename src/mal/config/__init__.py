"""The experiment spec: its fields, how files and overrides become one, and the texts made from it. Imports no torch."""
