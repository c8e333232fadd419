"""One IPRoute in a thread of its own, so that its blocking calls work under a running event loop too.

In: pyroute2 calls as functions of an IPRoute; out: their results, errors as one line for a person.
pyroute2's synchronous objects drive an event loop inside and refuse to run beneath another one.
The thread works in the network namespace that its maker was in.
"""

import errno
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ..errors import NoPermissionError, ToxvpnError

T = TypeVar("T")


class Netlink:
    """Talks rtnetlink; a call takes well under a millisecond unless the kernel is busy."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netlink")
        try:
            self._route: Any = self._thread.submit(IPRoute).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def call(self, function: Callable[[Any], T]) -> T:
        """Result of `function(iproute)`; NetlinkError passes through, its `code` is an errno."""
        return self.submit(function).result()

    def submit(self, function: Callable[[Any], T]) -> Future[T]:
        """The same, for who does not want to wait for it."""
        return self._thread.submit(function, self._route)

    def change(self, what: str, function: Callable[[Any], object]) -> None:
        """Runs a change; raises NoPermissionError or ToxvpnError saying that `what` failed, and why."""
        try:
            self.call(function)
        except NetlinkError as error:
            raise explained(what, error) from error

    def close(self) -> None:
        self._thread.submit(self._route.close).result()
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def explained(what: str, error: Any) -> ToxvpnError:
    """The one line for a NetlinkError met while doing `what`."""
    reason = errno.errorcode.get(error.code, str(error.code))
    if error.code == errno.EPERM:
        return NoPermissionError(f"Could not {what}: that needs root or CAP_NET_ADMIN, run it with sudo.")
    if error.code == errno.EEXIST:
        return ToxvpnError(f"Could not {what}: something else on this machine has made it already.")
    if error.code == errno.EACCES:
        return ToxvpnError(
            f"Could not {what}: IPv6 is switched off (sysctl net.ipv6.conf.all.disable_ipv6): switch it on."
        )
    return ToxvpnError(f"Could not {what}: the kernel says {reason} ({error.args[-1]}).")
