"""Sending and receiving files: `toxvpn send` and `toxvpn receive`, over a stream that the node hands out.

The wire format is wire/filetransfer.py, spoken over a socket (channel.py) by both commands as ordinary
blocking code, in processes without an event loop. The sender (outgoing.py) reads what was named (sources.py);
the receiver (incoming.py) writes into the folder that a person chose (folder.py), and into nothing else.
"""
