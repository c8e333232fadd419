"""IPRoute and NetlinkError of pyroute2, without the half of it that they do not need.

`import pyroute2` loads all it has: 5 to 8 MB and 0.05 s more, for wireless, databases, Plan 9 and others. So
its package is there without having been run, which is enough for its modules to find each other. It is run
when somebody asks it for a name that is none of its modules.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any

PACKAGE = "pyroute2"


def _postpone() -> None:
    """Nothing, where somebody else has loaded it."""
    if PACKAGE in sys.modules or (spec := find_spec(PACKAGE)) is None or spec.loader is None:
        return
    package, loader = module_from_spec(spec), spec.loader

    def find(name: str) -> Any:
        """Called for a name that the package does not have yet (PEP 562)."""
        if find_spec(f"{PACKAGE}.{name}") is not None:
            return import_module(f"{PACKAGE}.{name}")
        del vars(package)["__getattr__"]
        loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = find
    sys.modules[PACKAGE] = package


_postpone()

from pyroute2.iproute.linux import IPRoute  # noqa: E402
from pyroute2.netlink.exceptions import NetlinkError  # noqa: E402

__all__ = ["IPRoute", "NetlinkError"]
