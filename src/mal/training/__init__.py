"""Training: the step, the learning-rate schedule, callbacks, and the files of a run."""
