"""The protocol of `toxvpn speed`, version 1: between a client and the built-in target @speed."""
