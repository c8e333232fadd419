"""Hooks under libtoxcore: its network, clock and page locks."""
