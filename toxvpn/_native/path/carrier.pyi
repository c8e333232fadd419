from typing_extensions import disjoint_base

@disjoint_base
class Backlog:
    """The packets that wait for room, of all datapaths over one carrier; for compiled code only."""

@disjoint_base
class Carrier:
    """Takes the datapath's packets to friends and hands theirs to it; compiled code only talks to it."""
