"""Judges of what comes in, from bags and from live topics alike: no message is believed over all others."""
