"""How the student learns: the step, the schedule, the files of a run."""
