"""Reach a machine behind any NAT by its Tox ID: as TCP forward or as a network."""

__version__ = "0.1.0"
