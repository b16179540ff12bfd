"""Networks as files for other runtimes, and those files as networks."""
