"""How the network inside the package was trained: `python -m examples.default_model --help`."""
