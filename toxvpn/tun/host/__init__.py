"""This machine's network: its tables as the kernel has them, and our changes to them, each with its undo."""
