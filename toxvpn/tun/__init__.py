"""The VPN: a TUN device, its addresses and routes, and which peer a packet goes to."""
