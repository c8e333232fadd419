"""Loads and removes whole nftables tables, each in one transaction, through libnftables (libnftables(3)).

In: a table's family, its name, and its content as `nft` writes it. Out: the kernel's tables changed all at
once, or not at all. A program beside us sees our tables in `nft list ruleset`, by their names.
"""

import ctypes
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from ...errors import NoPermissionError, ToxvpnError

LIBRARY = "libnftables.so.1"
FAMILIES = frozenset({"ip", "ip6", "inet", "netdev"})
FAMILY_OF = {4: "ip", 6: "ip6"}
"""By IP version: also how a rule begins that is for addresses of that version."""
_STATELESS, _TERSE = 1 << 2, 1 << 11  # libnftables: NFT_CTX_OUTPUT_…
Run = Callable[..., str]
"""`run` below, or one that works in another network namespace (namespace.py)."""
_NAME = re.compile(r"toxvpn_[A-Za-z0-9_.]{1,100}")


def table_name(purpose: str, interface: str) -> str:
    """The name of the table that one VPN has for one purpose, e.g. toxvpn_forward_toxvpn0."""
    safe = re.sub(
        r"[^A-Za-z0-9_]", lambda odd: "".join(f".{byte:02x}" for byte in odd[0].encode()), interface
    )
    return f"toxvpn_{purpose}_{safe}"


def check_table(family: str, name: str) -> None:
    """Raises ValueError for a table that cannot be ours: a journal is not trusted."""
    if family not in FAMILIES or not _NAME.fullmatch(name):
        raise ValueError(f"{family} {name!r} is not an nftables table of toxvpn")


def load(family: str, name: str, content: str, run_there: Run | None = None) -> None:
    """Makes the table, or replaces it, with all its chains and sets. Raises ToxvpnError."""
    table = f"{family} {name}"
    (run_there or run)(
        f"add table {table}\ndelete table {table}\ntable {table} {{\n{content}\n}}\n",
        f"load the table {table}",
    )


def remove(family: str, name: str, run_there: Run | None = None) -> None:
    """Does nothing when there is no such table. Raises ToxvpnError."""
    table = f"{family} {name}"
    (run_there or run)(f"add table {table}\ndelete table {table}\n", f"remove the table {table}")


def tables() -> set[tuple[str, str]]:
    """The family and the name of each table in this network namespace. Raises ToxvpnError."""
    lines = run("list tables", "list the tables").splitlines()
    return {(family, name) for _, family, name in map(str.split, lines)}


def listed(family: str, name: str, run_there: Run | None = None) -> str | None:
    """The table as it is, without counters and what is in its sets; None: there is no such table."""
    with suppress(ToxvpnError):
        return (run_there or run)(f"list table {family} {name}", "list the table", _STATELESS | _TERSE)
    return None


def run(script: str, what: str, output_flags: int = 0) -> str:
    """Runs the script in this thread's network namespace, and returns what it prints.

    Raises NoPermissionError or ToxvpnError, with nft's own words.
    """
    library = _library()
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    try:
        library.nft_ctx_output_set_flags(context, output_flags)
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        if library.nft_run_cmd_from_buffer(context, script.encode()) != 0:
            raise _error(what, library.nft_ctx_get_error_buffer(context))
        output: bytes = library.nft_ctx_get_output_buffer(context)
        return output.decode(errors="replace")
    finally:
        library.nft_ctx_free(context)


@cache
def _library() -> Any:
    """Raises ToxvpnError."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise ToxvpnError(
            f"this takes nftables, and there is no {LIBRARY} here: install it with 'apt install nftables'"
        ) from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    return library


def _error(what: str, said: bytes) -> ToxvpnError:
    lines = said.decode(errors="replace").splitlines()
    reason = next((line for line in lines if "rror" in line), "no reason given").strip()
    if "not permitted" in reason:
        return NoPermissionError(
            f"nftables cannot {what}: that needs root or CAP_NET_ADMIN; run it with sudo"
        )
    return ToxvpnError(f"nftables cannot {what}: {reason}")
