"""The turn loop: when tox_iterate is called, and at what rate toxcore's clock runs meanwhile.

A turn is one tox_iterate and what follows from it. It comes when one of toxcore's sockets is readable, or
when the interval since the last one has passed (timing.py). All of it happens in one asyncio loop: toxcore is
not thread-safe. An error in a turn is logged, and the next turn comes all the same.
"""

import asyncio
from collections.abc import Callable

from .._native.toxcore import Tox
from .safecall import SafeCall
from .sockets import SocketWatch
from .timing import MOST_AHEAD_S, FastClock, TurnInterval

TICK_S = 0.25
"""The interval of checks for bootstrapping, repeated requests and the clock's rate."""
RELAY_ROOM_S = 0.005
"""The interval of looks whether a relay that was full has room again; stock ones read every 30 ms."""


class TurnLoop:
    """Iterates one handle from `start` to `close`.

    `tick` is called every TICK_S, after a turn, with the time on the loop's clock.
    """

    def __init__(self, tox: Tox, tick: Callable[[float], None]) -> None:
        self.closed = False
        self.after_turn: list[Callable[[], None]] = []
        """Called after each turn, in this order."""
        self.fast_clock = FastClock()
        self._tox = tox
        self._tick = tick
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._sockets = SocketWatch(tox, self._loop, self._on_readable)
        self._interval = TurnInterval()
        self._clock_rate = 1.0
        self._call_safely = SafeCall()
        self._no_input_until_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._relay_timer: asyncio.TimerHandle | None = None
        self._started = False
        self._turned_s = 0.0
        self._ticked_s = float("-inf")

    def start(self) -> None:
        self._started = True
        self.note_activity()
        self.fast_clock.start_burst(self.now())
        self.turn()

    def close(self) -> None:
        """Idempotent; before the handle is closed."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._relay_timer is not None:
            self._relay_timer.cancel()
        self._sockets.close()

    def is_alive(self, within_s: float) -> bool:
        """As Node.is_alive."""
        return self.closed or not self._started or self.now() - self._turned_s <= within_s

    def turn(self) -> None:
        """One iteration of toxcore and all that follows from it."""
        self._turn(self._tox.iterate)

    def note_activity(self) -> None:
        """Something was sent, received or connected: turns come as toxcore asks for a while."""
        was_idle = self._interval.note_activity(self.now())
        if was_idle and self._timer is not None and self._no_input_until_s is None:
            self._arm(self._interval_s())

    def expect_peer(self) -> None:
        """A peer that was just let in connects now: toxcore's clock runs fast at once."""
        self.fast_clock.expect_peer(self.now())
        self._set_clock_rate(self.now())

    def step_clock(self, step_s: float) -> None:
        """toxcore sees `step_s` pass with the next turn, and then no time until it has really passed.

        Where toxcore's clock is not ours, what comes in waits that long for its turn instead.
        """
        if not self.closed and not self._tox.step_clock(step_s):
            self._no_input_until_s = self.now() + step_s
            self._sockets.forget()
            self._arm(step_s)

    @property
    def may_pass_time(self) -> bool:
        """Whether toxcore's clock is not much ahead already."""
        return self.fast_clock.ahead_s < MOST_AHEAD_S

    def pass_time(self, jump_s: float) -> None:
        """toxcore sees so much time pass at once, as if it had waited; it is given back slowly."""
        self._tox.jump_clock(jump_s)
        self.fast_clock.jumped(jump_s)
        self.note_activity()

    def send_when_writable(self) -> None:
        """Sends what waits in toxcore's UDP socket's queue as soon as the socket takes more."""
        if self._tox.wants_room:
            self._sockets.when_writable(self._on_writable)
            self._tox.room_asked = True

    def _send_when_relay_has_room(self) -> None:
        """The kernel tells when it has room itself, but not when the other side of a connection has."""
        if self._tox.streams_held and self._relay_timer is None and not self.closed:
            self._relay_timer = self._loop.call_later(RELAY_ROOM_S, self._on_relay_timer)

    def _on_relay_timer(self) -> None:
        self._relay_timer = None
        self._tox.flush()
        self._send_when_relay_has_room()

    def _on_readable(self) -> None:
        self._turn(self._sockets.turn)

    def _on_writable(self) -> None:
        """Sends without a turn, for which it may be too early."""
        self._tox.room_asked = False
        self._tox.flush()
        self.send_when_writable()

    def _turn(self, iterate: Callable[[], None]) -> None:
        if self.closed:
            return
        self._call_safely(iterate)
        self._turned_s = self.now()
        if self._no_input_until_s is not None and self._turned_s >= self._no_input_until_s:
            self._no_input_until_s = None
        for call in list(self.after_turn):
            self._call_safely(call)
        if not self.closed:
            self._plan_next()

    def _plan_next(self) -> None:
        if self._turned_s - self._ticked_s >= TICK_S:
            self._ticked_s = self._turned_s
            self._call_safely(self._tick, self._turned_s)
            self._call_safely(self._set_clock_rate, self._turned_s)
        if self._tox.receive_pending:
            self._loop.call_soon(self.turn)
        self._call_safely(self.send_when_writable)
        self._call_safely(self._send_when_relay_has_room)
        if self._no_input_until_s is None:
            self._call_safely(self._sockets.refresh)
        if self._timer is None:
            self._arm(self._interval_s())

    def _set_clock_rate(self, now: float) -> None:
        rate = self.fast_clock.rate(now)
        if rate != self._clock_rate:
            self._clock_rate = rate
            self._tox.set_clock_rate(rate)

    def _interval_s(self) -> float:
        wanted_s = self._tox.iteration_interval_ms() / 1000 / self._clock_rate
        # on a fast clock, and where nothing wakes us for a relay's packets, turns must not be late
        if self._clock_rate > 1 or not self._sockets.exact:
            return wanted_s
        return self._interval.interval_s(wanted_s, self.now())

    def _arm(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        # turns for sockets leave the timer alone; here it turns out that the last one was recent enough
        self._timer = None
        remaining_s = self._turned_s + self._interval_s() - self.now()
        if remaining_s > 0.001 and self._no_input_until_s is None:
            self._arm(remaining_s)
        else:
            self.turn()
