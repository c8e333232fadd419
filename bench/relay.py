"""The cost of one relayed byte: the relay of toxvpn against plain loops of recv/send and of splice(2).

    python -m bench.relay [GIGABYTES]

Sender, relay and receiver are three processes over loopback. Throughput is as the relay saw it,
processor time is the relay's own. The plain loops block and serve one direction, so they are the
floor that each mechanism could reach.
"""

import asyncio
import fcntl
import os
import resource
import socket
import sys
import time
from collections.abc import Callable

from toxvpn.tcpforward.ends import SocketEnd
from toxvpn.tcpforward.relay import Relay

CHUNK_BYTES = 256 * 1024
MESSAGES = 20_000
Engine = Callable[[socket.socket, socket.socket], None]


def relay(source: socket.socket, sink: socket.socket) -> None:
    async def run() -> None:
        await Relay().join(SocketEnd(source), SocketEnd(sink))

    asyncio.run(run())


def copy(source: socket.socket, sink: socket.socket) -> None:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    while count := source.recv_into(buffer):
        sink.sendall(buffer[:count])


def splice(source: socket.socket, sink: socket.socket) -> None:
    outlet, inlet = os.pipe()
    fcntl.fcntl(inlet, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
    while count := os.splice(source.fileno(), inlet, CHUNK_BYTES):
        while count:
            count -= os.splice(outlet, sink.fileno(), count)


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    for sock in (one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def child(work: Callable[[], None], *unused: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        for sock in unused:
            sock.close()
        work()
        os._exit(0)
    return pid


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(engine: Engine, client: Callable[[socket.socket, socket.socket], None]) -> tuple[float, float]:
    """Wall clock and own processor time of relaying what `client` sends and receives, in seconds."""
    sender, source = pair()
    sink, receiver = pair()
    pid = child(lambda: client(sender, receiver), source, sink)
    sender.close()
    receiver.close()
    started, cpu = time.monotonic(), cpu_s()
    engine(source, sink)
    result = time.monotonic() - started, cpu_s() - cpu
    sink.close()
    os.waitpid(pid, 0)
    return result


def bulk(total_bytes: int) -> Callable[[socket.socket, socket.socket], None]:
    def send(sender: socket.socket) -> None:
        data = bytes(CHUNK_BYTES)
        sent = 0
        while sent < total_bytes:
            sent += sender.send(data)

    def client(sender: socket.socket, receiver: socket.socket) -> None:
        pid = child(lambda: send(sender), receiver)
        sender.close()
        buffer = bytearray(CHUNK_BYTES)
        while receiver.recv_into(buffer):
            pass
        receiver.close()
        os.waitpid(pid, 0)

    return client


def messages(sender: socket.socket, receiver: socket.socket) -> None:
    times_s = []
    for _ in range(MESSAGES):
        started = time.perf_counter()
        sender.send(bytes(100))
        receiver.recv(1000)
        times_s.append(time.perf_counter() - started)
    print(f"p50 {sorted(times_s)[MESSAGES // 2] * 1e6:5.0f} us", end="  ", flush=True)


def main() -> None:
    total_bytes = int(float(sys.argv[1] if len(sys.argv) > 1 else "2") * 1e9)
    for _ in range(3):
        for engine in (relay, copy, splice):
            print(f"{engine.__name__:7}", end="", flush=True)
            wall_s, own_s = measure(engine, bulk(total_bytes))
            print(
                f"{total_bytes * 8 / wall_s / 1e9:5.1f} Gbit/s {own_s / total_bytes * 1e9:6.3f} cpu s/GB",
                end="  ",
            )
            _, own_s = measure(engine, messages)
            print(f"{own_s / MESSAGES * 1e6:5.1f} cpu us/message of 100 bytes")


if __name__ == "__main__":
    main()
