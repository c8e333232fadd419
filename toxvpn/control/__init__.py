"""The control socket: how status, down and the other verbs speak to a running toxvpn."""
