"""Somebody on the Tox network who knows a node's DHT key and asks it where our own key is announced.

Wire format: c-toxcore's onion_announce.h and group_announce.h, and its DHT, made with libsodium alone.
"""

import ctypes
import ctypes.util
import os
import socket

KEY = 32
NONCE = 24
MAC = 16
SENDBACK = 8
RETURN_PATH = 177
"""ONION_RETURN_3: what a node sends back in front of its answer, unread."""
ANNOUNCE_REQUEST = b"\x87"
NODES_RESPONSE = b"\x04"
ANNOUNCED = KEY + 2 + 19 + 51
"""Bytes of a member's entry in the answer, with an address and a relay, both IPv6."""
IPV6 = b"\x0a"
TCP_IPV6 = b"\x8a"

_sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))


class Stranger:
    """`port`: where the node is on loopback."""

    def __init__(self, port: int, dht_key: bytes) -> None:
        public, secret = ctypes.create_string_buffer(KEY), ctypes.create_string_buffer(KEY)
        _sodium.crypto_box_keypair(public, secret)
        self._public, self._secret, self._node = public.raw, secret.raw, dht_key
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(1)
        self._socket.connect(("127.0.0.1", port))

    def close(self) -> None:
        self._socket.close()

    def ask(self, extra: bytes = b"") -> bytes:
        """The answer to an announce request that looks for our own key; `extra` makes it a group's.

        Empty when there is none within a second. Else whether the key is stored, a ping id, the number of
        nodes told of, these nodes, and what the node knows of the group.
        """
        self.send(extra)
        try:
            return self._opened(self._socket.recv(2048))
        except (TimeoutError, ConnectionRefusedError):
            return b""

    def send(self, extra: bytes = b"") -> None:
        plain = bytes(KEY) + self._public + self._public + bytes(SENDBACK) + extra
        nonce = os.urandom(NONCE)
        box = ctypes.create_string_buffer(MAC + len(plain))
        _sodium.crypto_box_easy(box, plain, ctypes.c_ulonglong(len(plain)), nonce, self._node, self._secret)
        self._socket.send(ANNOUNCE_REQUEST + nonce + self._public + box.raw + os.urandom(RETURN_PATH))

    def tell_nodes(self, nodes: bytes) -> None:
        """An answer to a request for nodes that was never made; `nodes`: how many, and each."""
        plain, nonce = nodes + os.urandom(SENDBACK), os.urandom(NONCE)
        box = ctypes.create_string_buffer(MAC + len(plain))
        _sodium.crypto_box_easy(box, plain, ctypes.c_ulonglong(len(plain)), nonce, self._node, self._secret)
        self._socket.send(NODES_RESPONSE + self._public + nonce + box.raw)

    def _opened(self, datagram: bytes) -> bytes:
        answer = datagram[1 + RETURN_PATH :]
        nonce, box = answer[1 + SENDBACK :][:NONCE], answer[1 + SENDBACK + NONCE :]
        plain = ctypes.create_string_buffer(len(box) - MAC)
        length = ctypes.c_ulonglong(len(box))
        assert not _sodium.crypto_box_open_easy(plain, box, length, nonce, self._node, self._secret)
        return plain.raw


def group_announce(group: bytes, member: bytes) -> bytes:
    """The longest announcement there can be: with an address, and a relay, both IPv6."""
    address = bytes(16) + b"\x12\x34"
    return group + member + b"\x01\x01" + IPV6 + address + TCP_IPV6 + address + os.urandom(KEY)
