"""One file for each task: it tells the order of things from top to bottom and owns nothing else."""
