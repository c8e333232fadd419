"""The path of IP packets between a TUN device and Tox."""
