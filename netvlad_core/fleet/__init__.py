"""Many robots: the drives of many become maps at once, and a store keeps the maps of every site."""
