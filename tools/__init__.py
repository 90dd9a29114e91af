"""How the project is made: set-up, tables of the documentation, the packaged network."""
