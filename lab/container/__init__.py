"""Containers on hosts of a lab, for scripts/container: what docs/howto/containers.md says, tried for real.

engine.py has podman and Docker on a host, checks.py what is tried by their commands, compose.py the examples
of contrib/compose.
"""
