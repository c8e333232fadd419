"""Networks behind peers and behind this machine: which are used, and the routes to them."""
