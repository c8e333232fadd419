"""The networks and VPNs that this machine has beside ours: which they are, and who gives way."""
