"""Hooks under libtoxcore: its network, clock, page locks and encryption."""
