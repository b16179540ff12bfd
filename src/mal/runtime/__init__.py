"""Devices, processes, threads and the run folder: what every task needs around its work."""
