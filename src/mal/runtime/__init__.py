"""Devices, processes, threads and the run folder, shared by all tasks."""
