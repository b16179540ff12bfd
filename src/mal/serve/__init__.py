"""The server of `mal serve`: masks over HTTP, for programs in which people label."""
