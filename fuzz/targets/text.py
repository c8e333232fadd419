"""What a person types or pastes: a value, or one line that says what is wrong."""

import contextlib
from collections.abc import Callable

from toxvpn.config import values
from toxvpn.errors import ToxvpnError, UsageError
from toxvpn.members.peers import check_name, parse_peer
from toxvpn.tcpforward import rules, spec
from toxvpn.tcpforward.remote import rules as listen_rules
from toxvpn.tcpforward.remote import spec as remote
from toxvpn.tox.proxy import parse_proxy
from toxvpn.wire import invite, multicast, ports, routegrant, toxid

from ..target import Choices, target

PARSERS: list[Callable[[str], object]] = [
    spec.parse_forward,
    spec.parse_target,
    spec.parse_listen,
    spec.parse_forward_listen,
    remote.parse_remote,
    remote.parse_remote_listen,
    lambda text: rules.parse_rules(text.replace("\n", " "), "rules"),
    lambda text: listen_rules.parse_listen_rules([text]),
    lambda text: multicast.parse_groups(text.split()),
    lambda text: routegrant.parse_grant(text.split()),
    lambda text: parse_peer(text, None, 0.0),
    ports.parse_port_range,
    values.parse_time,
    parse_proxy,
    check_name,
]


@target
def typed(data: bytes) -> None:
    """Options and the values of keys. What is refused is refused in one line."""
    choices = Choices(data)
    parse = choices.pick(PARSERS)
    text = choices.rest().decode("utf-8", "surrogateescape")
    try:
        parse(text)
    except ValueError:  # who reads it says what is wrong
        return
    except ToxvpnError as error:
        assert str(error)
        if text.isprintable():
            assert "\n" not in str(error), str(error)


@target
def invite_text(data: bytes) -> None:
    """An invite: what is read can be written, and is the same; what is wrong is told without the text."""
    with contextlib.suppress(UnicodeDecodeError):
        text = data.decode()
        try:
            found = invite.decode(text)
        except UsageError as error:
            assert "\n" not in str(error)
            return
        assert invite.decode(invite.encode(found)) == found


@target
def tox_id(data: bytes) -> None:
    """A Tox ID or public key."""
    with contextlib.suppress(UnicodeDecodeError):
        text = data.decode()
        with contextlib.suppress(UsageError):
            found = toxid.parse_tox_id(text)
            assert toxid.parse_tox_id(str(found)) == found
            assert toxid.parse_public_key_or_id(text) == found.public_key
        with contextlib.suppress(UsageError):
            assert len(toxid.parse_public_key_or_id(text)) == 32
