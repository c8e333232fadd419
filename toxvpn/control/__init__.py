"""The control socket: how `status`, `down` and other commands talk to a running toxvpn."""
