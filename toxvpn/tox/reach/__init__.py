"""How a peer is reached, and reached again: what has toxcore find a path, directly where it can be had."""
