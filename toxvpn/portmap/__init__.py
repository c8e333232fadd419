"""Has the router pass on what comes to one of its ports, so that peers reach this machine there."""
