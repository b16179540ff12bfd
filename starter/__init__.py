"""How the checkpoint that comes with the package is made: from pictures of clear license and their boxes."""
