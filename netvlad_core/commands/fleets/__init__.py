"""The actions of `netvlad fleet`."""
