"""Descriptors of this package in RTAB-Map, which runs a script for them."""
