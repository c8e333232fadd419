"""The path of a packet between a TUN device and Tox."""
