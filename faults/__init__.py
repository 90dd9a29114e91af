"""Faults injected on purpose: what a robot's owner must never lose, and what must never end a program."""
