"""Loads asyncio without TLS."""

import sys
from typing import Any, cast


def load_asyncio() -> None:
    """asyncio imports ssl where there is one: 1 MB and 10 ms, which a run has no use for: Tox does without.

    Whoever imports ssl later gets it. Without effect where one of the two has been loaded already.
    """
    if "ssl" in sys.modules or "asyncio" in sys.modules:
        return
    modules = cast(dict[str, Any], sys.modules)
    modules["ssl"] = None  # then an import of it fails, as in a Python without OpenSSL
    try:
        import asyncio  # noqa: F401
    finally:
        del modules["ssl"]
