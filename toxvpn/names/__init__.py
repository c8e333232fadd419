"""Names for the machines of the network: who has which, a DNS server for them, and who asks it."""
