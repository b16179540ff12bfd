"""Train, evaluate, label: one file for each task, with its steps from top to bottom."""
