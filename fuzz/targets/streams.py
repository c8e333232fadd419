"""What a peer says on a stream: SOCKS5, and the lines of built-in targets. Streams come in any pieces."""

from dataclasses import fields

from toxvpn.wire import associations, filetransfer, remotelisten
from toxvpn.wire.filetransfer import ProtocolError
from toxvpn.wire.jsonlines import JsonLines, LineFaultError, decode_line, encode_line
from toxvpn.wire.socks5 import (
    BadReply,
    BadRequest,
    Connected,
    ConnectRefused,
    ConnectRequest,
    Socks5Client,
    Socks5Server,
    encode_connect,
)
from toxvpn.wire.speed import messages as speed

from ..target import Choices, pieces, target


@target
def socks_server(data: bytes) -> None:
    """A client's greeting and request: the same outcome in one piece as in several."""
    choices = Choices(data)
    cut = pieces(data, choices)
    whole, whole_answer = _serve([data])
    several, several_answer = _serve(cut)
    assert (whole, whole_answer) == (several, several_answer)
    if isinstance(whole, ConnectRequest):
        assert data.endswith(whole.rest)
        if 0 < len(whole.host.encode()) <= 255:
            again, _ = _serve([encode_connect(whole.host, whole.port)])
            assert isinstance(again, ConnectRequest)
            assert again.port == whole.port


def _serve(cut: list[bytes]) -> tuple[ConnectRequest | BadRequest | None, bytes]:
    server, answer = Socks5Server(), b""
    for number, piece in enumerate(cut):
        said, event = server.receive(piece)
        answer += said
        if isinstance(event, ConnectRequest):
            rest = b"".join(cut[number + 1 :])
            return ConnectRequest(event.host, event.port, event.rest + rest), answer
        if event is not None:
            return event, answer
    return None, answer


@target
def socks_client(data: bytes) -> None:
    """A server's answers: the same outcome in one piece as in several."""
    assert _call([data]) == _call(pieces(data, Choices(data)))


def _call(cut: list[bytes]) -> Connected | ConnectRefused | BadReply | None:
    client = Socks5Client()
    for number, piece in enumerate(cut):
        event = client.receive(piece)
        if isinstance(event, Connected):
            return Connected(event.rest + b"".join(cut[number + 1 :]))
        if event is not None:
            return event
    return None


@target
def json_lines(data: bytes) -> None:
    """Lines of @udp and @listen: what is understood can be said again, and means the same."""
    try:
        lines = JsonLines().receive(data)
    except LineFaultError:
        return
    for line in lines:
        try:
            association = associations.decode(line)
        except LineFaultError:
            pass
        else:
            assert (
                associations.decode(decode_line(encode_line(associations.encode(association)))) == association
            )
        try:
            listener = remotelisten.decode(line)
        except LineFaultError:
            continue
        if listener is not None:
            assert remotelisten.decode(decode_line(encode_line(remotelisten.encode(listener)))) == listener


@target
def speed_lines(data: bytes) -> None:
    """Lines of @speed, which come in pieces; what is understood can be said again."""
    lines = speed.Lines()
    for piece in pieces(data, Choices(data)):
        lines.feed(piece)
        try:
            while (message := lines.next()) is not None:
                assert speed.decode_untrusted(speed.encode(message)) == message
        except LineFaultError:
            return
    lines.rest()


@target
def file_lines(data: bytes) -> None:
    """Lines of @files from both sides: what is understood can be said again; names are of files."""
    for line in data.split(b"\n"):
        for decode in (filetransfer.decode_from_sender, filetransfer.decode_from_receiver):
            try:
                message = decode(line)
            except ProtocolError as error:
                assert "\n" not in str(error)
                continue
            try:
                again = filetransfer.encode(message)
            except ValueError:  # too long
                continue
            assert decode(again) == message
            within_bounds(message)
        if len(line) == filetransfer.LENGTH_BYTES:
            try:
                length_bytes = filetransfer.decode_length(line)
            except ProtocolError:
                continue
            assert 0 <= length_bytes <= filetransfer.MOST_CHUNK_BYTES
            assert filetransfer.encode_length(length_bytes) == line


def within_bounds(message: filetransfer.FromSender | filetransfer.FromReceiver) -> None:
    """Names are those of files, and paths not too deep; numbers are not negative, and not too large."""
    for field in fields(message):
        value = getattr(message, field.name)
        names = {"name": (value,), "path": value}.get(field.name, ())
        assert len(names) <= filetransfer.MOST_DEPTH
        for name in names:
            assert 0 < len(name) <= filetransfer.MOST_NAME_BYTES
            assert name not in (b".", b"..")
            assert not {0, ord("/")} & set(name)
            assert filetransfer.printable(name).isprintable()
        assert not isinstance(value, int) or field.name == "mtime_ns" or 0 <= value <= filetransfer.LAST
