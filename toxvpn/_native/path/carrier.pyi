class Carrier:
    """Takes the datapath's packets to friends and hands theirs to it; compiled code only talks to it."""
