"""A network of the user's own, without root: a VPN in a namespace, and commands that run in it."""
