"""Generated data set: small textured scenes with boxes and exact masks, reproducible from a seed; and real photos."""
