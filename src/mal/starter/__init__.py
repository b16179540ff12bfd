"""The network that comes with the package: class-agnostic, trained on boxes only."""
