"""The Python door: what `import toxvpn` gives a program, on one asyncio loop.

In: where the identity is kept, and who may come in. Out: streams to targets behind peers, streams from peers
to handlers, local ports that lead to a peer, and events. It is made of the same parts as the runs of the
command line (daemon/calling.py), and touches nothing that belongs to the program: no signal, no logging
configuration, no privilege, no limit of the process.

`toxvpn/__init__.py` loads it when a name is first used; docs/python.md says what is promised of these names.
"""
