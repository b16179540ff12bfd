"""What teaches the student: boxes (MIL) and colour edges (CRF)."""
