"""What a router is asked for a port in: PCP, NAT-PMP and UPnP."""
