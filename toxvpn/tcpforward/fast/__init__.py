"""The fast road: kernel TCP between two private stacks."""
