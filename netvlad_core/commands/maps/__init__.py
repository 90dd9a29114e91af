"""Actions of `netvlad map`."""
