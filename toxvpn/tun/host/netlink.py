"""One IPRoute in a thread of its own, so that its blocking calls also work while an event loop runs.

In: pyroute2 calls as functions of an IPRoute; out: their results, and errors as one line for a person.
pyroute2's synchronous objects run an event loop inside, and refuse to do so beneath another one. The thread
works in the network namespace in which the Netlink was made, unless it is given another one.
"""

import errno
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from ...errors import NoPermissionError, ToxvpnError
from .namespace import HERE, Namespace
from .pyroute import NetlinkError

T = TypeVar("T")


class Netlink:
    """Speaks rtnetlink; a call takes well under a millisecond unless the kernel is busy."""

    def __init__(self, namespace: Namespace = HERE) -> None:
        self.namespace = namespace
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netlink")
        try:
            self._route: Any = self._thread.submit(namespace.iproute).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def call(self, function: Callable[[Any], T]) -> T:
        """Returns `function(iproute)`; NetlinkError passes through, its `code` is an errno."""
        return self.submit(function).result()

    def submit(self, function: Callable[[Any], T]) -> Future[T]:
        """As `call`, but returns at once."""
        return self._thread.submit(function, self._route)

    def change(self, what: str, function: Callable[[Any], object]) -> None:
        """Runs a change; raises NoPermissionError or ToxvpnError that says why `what` failed."""
        try:
            self.call(function)
        except NetlinkError as error:
            raise change_error(what, error) from error

    def close(self) -> None:
        self._thread.submit(self._route.close).result()
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def change_error(what: str, error: Any) -> ToxvpnError:
    """The error to raise for a NetlinkError that happened while doing `what`."""
    reason = errno.errorcode.get(error.code, str(error.code))
    if error.code == errno.EPERM:
        return NoPermissionError(f"cannot {what}: that needs root or CAP_NET_ADMIN; run it with sudo")
    if error.code == errno.EEXIST:
        return ToxvpnError(f"cannot {what}: another program on this machine has already made it")
    if error.code == errno.EACCES:
        return ToxvpnError(
            f"cannot {what}: IPv6 is disabled (sysctl net.ipv6.conf.all.disable_ipv6); enable it"
        )
    return ToxvpnError(f"cannot {what}: the kernel says {reason} ({error.args[-1]})")
