"""How the network inside the package was trained: `python -m tools.default_model --help`."""
