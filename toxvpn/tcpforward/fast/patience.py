"""How long a stream waits for a peer that does not answer, in the terms of Linux's TCP. Pure.

In: how many seconds. Out: settings of a private stack (helper.py). A stream ends when nothing has answered
the data that it repeats for that long, or the questions that an idle one asks for IDLE_TIMES as long: those
cost next to nothing, and a laptop sleeps for a night. TCP_USER_TIMEOUT would say it in one number, but also
ends streams whose reader pauses for as long (tcp_probe_timer).
"""

import math

DEFAULT_S = 2 * 3600
"""As long as Linux's TCP leaves an idle connection alone."""
LEAST_S = 120
MOST_S = 7 * 86400
IDLE_TIMES = 6
"""By default 12 hours, a night."""

IDLE_S = 40
"""A stream that has been silent for so long asks whether the peer's stack still knows it. One that has been
started anew does not, and ends it."""
SHORTEST_RTO_S = 0.2
"""TCP_RTO_MIN, from which Linux calculates the time that a number of repetitions takes."""
LONGEST_RTO_S = 120.0
"""TCP_RTO_MAX: the pauses between repetitions double up to this, where net.ipv4.tcp_rto_max_ms (Linux 6.15)
does not say otherwise."""
MOST_REPETITIONS = 255
MOST_QUESTIONS = 127
QUESTIONS = 120
REPETITIONS = 240
SHORT_RTO_S = 5.0


KeepAlive = tuple[int, int, int]
"""TCP_KEEPIDLE and TCP_KEEPINTVL in seconds, TCP_KEEPCNT."""


def keep_alive(keep_s: int, idle_s: int = IDLE_S) -> KeepAlive:
    """Questions at most `idle_s` apart while they are answered, and IDLE_TIMES `keep_s` of them if not."""
    rest_s = max(IDLE_TIMES * keep_s - idle_s, 1)
    interval_s = max(idle_s, math.ceil(rest_s / QUESTIONS))
    return idle_s, interval_s, math.ceil(rest_s / interval_s)


def longest_rto_s(keep_s: int) -> float:
    """The longest pause between repetitions (net.ipv4.tcp_rto_max_ms): short, yet they last `keep_s`.

    Where that cannot be set, only what is held for an absent peer (_native/path/held.h) is sent sooner.
    """
    return min(max(SHORT_RTO_S, keep_s / REPETITIONS), LONGEST_RTO_S)


def repetitions(keep_s: int, longest_s: float = LONGEST_RTO_S) -> int:
    """net.ipv4.tcp_retries2: how many repetitions take `keep_s`, by Linux's own reckoning.

    (tcp_model_timeout of its TCP.) At most 255, which take 8 h 15 min.
    """
    doubled = int(math.log2(longest_s / SHORTEST_RTO_S))
    for many in range(1, doubled + 1):
        if ((2 << many) - 1) * SHORTEST_RTO_S >= keep_s:
            return many
    rest_s = keep_s - ((2 << doubled) - 1) * SHORTEST_RTO_S
    return min(doubled + math.ceil(rest_s / longest_s), MOST_REPETITIONS)
