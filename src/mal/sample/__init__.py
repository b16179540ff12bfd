"""The generated data set: small textured scenes with boxes and exact masks, drawn from a seed in seconds."""
