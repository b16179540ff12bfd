"""How good masks are."""
