"""A laboratory of network namespaces for tests, measurements and demonstrations; start at world.py.

It does not depend on toxvpn. It makes hosts, NAT routers, bad cables and real Tox bootstrap nodes.
"""

from .bootstrap import BootstrapNode
from .cable import Cable
from .delayline import Delay
from .errors import LabError
from .host import Host
from .nat import Nat
from .nat64 import Nat64
from .site import Site
from .waiting import wait_until
from .world import Lab, Link

__all__ = [
    "BootstrapNode",
    "Cable",
    "Delay",
    "Host",
    "Lab",
    "LabError",
    "Link",
    "Nat",
    "Nat64",
    "Site",
    "wait_until",
]
