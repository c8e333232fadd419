"""All code that touches C: the toxcore binding, the network and clock under it, the packet path."""
