"""The selector, held to the contract of the standard one, and what it serves without the event loop."""

import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from toxvpn._native.wakeups import Arrivals, Selector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
BOTH = pytest.mark.parametrize("make", [selectors.EpollSelector, Selector])
Make = Callable[[], selectors.BaseSelector]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    for end in (near, far):
        end.setblocking(False)
    with near, far:
        yield near, far


Pair = tuple[socket.socket, socket.socket]


def select_once(selector: selectors.BaseSelector, timeout: float = 0) -> list[tuple[object, int]]:
    return [(key.data, events) for key, events in selector.select(timeout)]


@BOTH
def test_it_tells_what_is_ready_for_what_was_asked(make: Make, pair: Pair) -> None:
    near, far = pair
    with make() as selector:
        selector.register(near, READ, "near")
        assert select_once(selector) == []
        far.send(b"x")
        assert select_once(selector) == [("near", READ)]
        selector.modify(near, READ | WRITE, "both")
        assert select_once(selector) == [("both", READ | WRITE)]
        selector.modify(near, WRITE, "write")
        assert select_once(selector) == [("write", WRITE)]
        selector.unregister(near)
        assert select_once(selector) == []


@BOTH
def test_its_keys_are_found_by_object_and_by_number(make: Make, pair: Pair) -> None:
    near, far = pair
    with make() as selector:
        key = selector.register(near.fileno(), READ, "near")
        assert (key.fd, key.events, key.data) == (near.fileno(), READ, "near")
        assert selector.get_key(near.fileno()) == key
        assert dict(selector.get_map()) == {near.fileno(): key}
        with pytest.raises(KeyError):
            selector.register(near, READ)
        with pytest.raises(KeyError):
            selector.unregister(far)
        with pytest.raises(KeyError):
            selector.modify(far, READ)
        assert selector.unregister(near) == key
        assert not selector.get_map()


@BOTH
def test_a_hang_up_is_told_as_whatever_was_asked(make: Make, pair: Pair) -> None:
    near, far = pair
    with make() as selector:
        selector.register(near, READ, "near")
        far.close()
        assert select_once(selector) == [("near", READ)]
        selector.modify(near, WRITE, "near")
        assert select_once(selector) == [("near", WRITE)]


@BOTH
def test_a_closed_socket_is_known_by_the_object(make: Make, pair: Pair) -> None:
    near, _ = pair
    with make() as selector:
        key = selector.register(near, READ)
        near.close()
        assert selector.get_key(near) == key
        assert selector.unregister(near) == key
        assert not selector.get_map()


@BOTH
def test_what_was_closed_before_may_be_unregistered(make: Make, pair: Pair) -> None:
    near, _ = pair
    with make() as selector:
        number = near.fileno()
        selector.register(number, READ)
        near.close()
        selector.unregister(number)
        assert select_once(selector) == []


@BOTH
def test_it_waits_as_long_as_it_was_told_and_not_shorter(make: Make) -> None:
    with make() as selector:
        for timeout_s in (0.0, -1.0, 0.0105):
            began_s = monotonic()
            assert selector.select(timeout_s) == []
            assert monotonic() - began_s >= timeout_s


@BOTH
def test_a_signals_handler_runs_and_the_wait_goes_on(make: Make, pair: Pair) -> None:
    """As PEP 475 demands."""
    near, far = pair

    def answer() -> None:
        far.send(b"x")

    before = signal.signal(signal.SIGALRM, lambda _number, _frame: answer())
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with make() as selector:
            selector.register(near, READ, "near")
            assert select_once(selector, 30) == [("near", READ)]
    finally:
        signal.signal(signal.SIGALRM, before)


@BOTH
def test_a_handler_that_raises_ends_it(make: Make) -> None:
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with make() as selector, pytest.raises(KeyboardInterrupt):
            selector.select(None)
    finally:
        signal.signal(signal.SIGALRM, before)


@BOTH
def test_more_than_a_hundred_at_once_are_all_told(make: Make) -> None:
    with make() as selector:
        events = [os.eventfd(1, os.EFD_NONBLOCK) for _ in range(150)]
        for fd in events:
            selector.register(fd, READ, fd)
        seen = set()
        for _ in range(5):
            for key, _ in selector.select(0):
                seen.add(key.fd)
                os.eventfd_read(key.fd)
        assert seen == set(events)
        for fd in events:
            os.close(fd)


def test_its_descriptor_is_closed_with_it(no_descriptor_is_left: None) -> None:
    for _ in range(3):
        with Selector() as selector:
            selector.select(0)


# -- what it serves itself


class Turns:
    """A handle whose turn takes one datagram off a socket; `leave` makes it leave them there."""

    def __init__(self, sock: socket.socket) -> None:
        self.count = 0
        self.quiet = True
        self.leave = False
        self.failure: Exception | None = None
        self._sock = sock

    def iterate(self) -> None:
        self.count += 1
        if self.failure is not None:
            raise self.failure
        if not self.leave:
            self._sock.recv(100)


class Scene:
    """A selector that serves a handle's turns, when `far` sends something."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.near.setblocking(False)
        self.turns = Turns(self.near)
        self.arrivals = Arrivals(self.turns)
        self.arrivals.add(self.near.fileno())
        self.selector = Selector()
        self.selector.serve_early(self.arrivals.fileno(), self.arrivals)
        self.selector.register(self.arrivals.fileno(), READ, "arrivals")


@pytest.fixture
def scene(no_descriptor_is_left: None) -> Iterator[Scene]:
    made = Scene()
    yield made
    made.selector.close()
    made.arrivals.close()
    made.near.close()
    made.far.close()


def test_a_turn_that_does_is_not_told_of(scene: Scene) -> None:
    scene.far.send(b"packet")
    assert select_once(scene.selector) == []
    assert scene.turns.count == 1


def test_a_turn_that_leaves_something_to_do_is_told_of_and_is_not_done_twice(scene: Scene) -> None:
    scene.turns.quiet = False
    scene.far.send(b"packet")
    assert select_once(scene.selector) == [("arrivals", READ)]
    assert scene.turns.count == 1
    scene.arrivals.turn()
    assert scene.turns.count == 1


def test_where_no_selector_serves_it_the_turn_is_the_loops(scene: Scene) -> None:
    scene.selector.serve_early(scene.arrivals.fileno(), None)
    for number in (1, 2):
        scene.far.send(b"packet")
        assert select_once(scene.selector) == [("arrivals", READ)]
        scene.arrivals.turn()
        assert scene.turns.count == number
        assert select_once(scene.selector) == []


def test_what_comes_after_a_turn_wakes_again(scene: Scene) -> None:
    """Also when the loop has not handled the last one yet."""
    scene.turns.quiet = False
    scene.far.send(b"one")
    assert select_once(scene.selector) == [("arrivals", READ)]
    scene.far.send(b"two")
    scene.arrivals.turn()
    assert select_once(scene.selector) == [("arrivals", READ)]
    assert scene.turns.count == 2


def test_what_stays_unread_wakes_nobody(scene: Scene) -> None:
    scene.turns.leave = True
    scene.far.send(b"half a packet")
    assert select_once(scene.selector, 0.01) == []
    assert scene.turns.count == 1


def test_a_turn_that_fails_is_told_of_and_raises_there(scene: Scene) -> None:
    scene.turns.failure = ValueError("a subscriber's")
    scene.far.send(b"packet")
    assert select_once(scene.selector) == [("arrivals", READ)]
    with pytest.raises(ValueError, match="a subscriber's"):
        scene.arrivals.turn()
    scene.turns.failure = None
    scene.turns.leave = True
    scene.arrivals.turn()
    assert scene.turns.count == 2


def test_others_are_told_of_as_ever(scene: Scene, pair: Pair) -> None:
    near, far = pair
    scene.selector.register(near, READ, "another")
    scene.far.send(b"packet")
    far.send(b"x")
    assert select_once(scene.selector) == [("another", READ)]
    assert scene.turns.count == 1


def test_it_goes_on_waiting_for_the_time_that_is_left(scene: Scene) -> None:
    """No matter how much there is to serve meanwhile."""
    began_s = monotonic()
    scene.turns.iterate = flood = Flood(scene)  # type: ignore[method-assign]
    scene.far.send(b"packet")
    assert select_once(scene.selector, 0.02) == []
    assert 0.02 <= monotonic() - began_s < 5
    assert flood.count > 2


class Flood:
    """A turn during which the next packet arrives."""

    def __init__(self, scene: Scene) -> None:
        self.count = 0
        self._scene = scene

    def __call__(self) -> None:
        self.count += 1
        self._scene.near.recv(100)
        self._scene.far.send(b"the next one")
