"""`toxvpn try`: a server and a client on this machine, from their start to a page fetched through them."""
