"""Ends that may be taken back: by the answer to a question, at any time, and reset then."""

from toxvpn.tcpforward.granted import Granted, GrantedEnd


class Target:
    """An end."""

    read_fd, write_fd, wake_fd = 3, 4, 5
    short_read_is_all = False

    def __init__(self) -> None:
        self.calls: list[object] = []

    def read_into(self, buffer: memoryview) -> int:
        buffer[:2] = b"hi"
        return 2

    def finish(self) -> None:
        self.calls.append("finish")

    def close(self, *, clean: bool) -> None:
        self.calls.append(clean)


def test_it_is_the_end_that_it_was_made_of() -> None:
    target = Target()
    end = Granted().end(target, lambda: True)
    assert (end.read_fd, end.write_fd, end.wake_fd, end.short_read_is_all) == (3, 4, 5, False)
    buffer = bytearray(2)
    assert end.read_into(memoryview(buffer)) == 2 and buffer == b"hi"
    end.finish()
    end.close(clean=True)
    assert target.calls == ["finish", True]


def test_what_is_not_allowed_any_more_is_stopped() -> None:
    granted, allowed = Granted(), {0, 1, 2}
    stopped: list[int] = []

    def granted_end(number: int) -> GrantedEnd:
        def stop() -> None:
            stopped.append(number)
            end.close(clean=False)

        end = granted.end(Target(), lambda: number in allowed)
        end.stoppable(stop)
        return end

    ends = [granted_end(number) for number in range(3)]
    assert granted.judge_again() == 0
    allowed.discard(1)
    assert granted.judge_again() == 1 and stopped == [1]
    assert granted.judge_again() == 0
    allowed.clear()
    ends[0].close(clean=True)
    assert granted.judge_again() == 1 and stopped == [1, 2]


def test_a_right_that_is_lost_before_there_is_an_end_stops_it_too() -> None:
    end, stopped = Granted().end(Target(), lambda: False), []
    end.stoppable(lambda: stopped.append(True))
    assert stopped == [True]


def test_it_may_be_stopped_before_a_stream_is_made_of_it() -> None:
    granted = Granted()
    stopped: list[bool] = []
    end = granted.end(Target(), lambda: False)
    granted.judge_again()
    assert not stopped
    end.stoppable(lambda: stopped.append(True))
    assert stopped == [True]
