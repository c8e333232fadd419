"""Benches: each measures two or more ways of running by turns. `python -m bench.NAME`; see README.md."""
