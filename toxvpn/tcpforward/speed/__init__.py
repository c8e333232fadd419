"""`toxvpn speed`: how fast the path to a peer is, both ways, and how long answers take meanwhile."""
