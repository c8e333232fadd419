"""Receives from all senders at once, each stream in a thread of its own.

In: streams, as they come. Out: files in one folder. Neighbours: incoming.py has one stream.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..wire.filetransfer import ProtocolError
from .channel import Channel
from .incoming import Incoming, IntoFolder, ReceiverView

log = logging.getLogger("toxvpn.files")

MOST_STREAMS = 64
MOST_OF_ONE = 8
SILENT_S = 10.0
"""A stream of which nothing was heard for so long makes way for another one that sends the same."""
LEAVING_S = 5.0


class SessionView(ReceiverView, Protocol):
    """What a person sees of one stream; `interrupted`: it broke before the end."""

    def interrupted(self, reason: str) -> None: ...
    def close(self) -> None: ...


@dataclass(eq=False, slots=True)
class Session:
    """One stream that is being received."""

    public_key: bytes
    channel: Channel
    thread: threading.Thread = field(init=False)


class Receiving:
    """`start` takes a stream over. `on_complete` is called, in a thread, when a sender has sent all."""

    def __init__(self, to: IntoFolder, on_complete: Callable[[SessionView], None]) -> None:
        self._to = to
        self._on_complete = on_complete
        self._sessions: set[Session] = set()
        self._lock = threading.Lock()

    def start(self, sock: socket.socket, public_key: bytes, view: SessionView) -> None:
        """Closes the stream at once if there are too many."""
        session = Session(public_key, Channel(sock))
        with self._lock:
            of_this = sum(each.public_key == public_key for each in self._sessions)
            full = len(self._sessions) >= MOST_STREAMS or of_this >= MOST_OF_ONE
            if not full:
                self._sessions.add(session)
        if full:
            view.interrupted("it has too many streams open")
            session.channel.close()
            return
        session.thread = threading.Thread(target=self._run, args=(session, view), daemon=True)
        session.thread.start()

    def close(self) -> None:
        """Ends what still runs."""
        with self._lock:
            left = list(self._sessions)
        for session in left:
            session.channel.shut()
        for session in left:
            session.thread.join(LEAVING_S)

    def _run(self, session: Session, view: SessionView) -> None:
        try:
            Incoming(
                session.channel, self._to, session.public_key, view, lambda: self._make_way(session)
            ).run()
        except ProtocolError as fault:
            view.interrupted(f"it does not keep to the protocol: {fault}")
        except (OSError, EOFError) as error:
            view.interrupted(str(error))
        except Exception:
            log.exception("an error of toxvpn itself")
            view.interrupted("an error of toxvpn itself")
        else:
            self._on_complete(view)
        finally:
            view.close()
            session.channel.close()
            with self._lock:
                self._sessions.discard(session)

    def _make_way(self, session: Session) -> None:
        """Ends other streams of the same sender that have been silent."""
        with self._lock:
            others = [each for each in self._sessions if each.public_key == session.public_key]
        for other in others:
            if other is not session and time.monotonic() - other.channel.heard_s > SILENT_S:
                other.channel.shut()
