"""Train, evaluate, label: each told from top to bottom in its own file."""
