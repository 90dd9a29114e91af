"""How the project is made: set-up, tables of the README, the packaged network."""
