"""Byte formats and protocol state, sans-IO: bytes and times in, events and bytes out."""
