"""One node for all commands of a user to the same server (docs/decisions/0005-shared-node.md).

A command (command.py) finds the node at a socket (rendezvous.py), or starts it (start.py), hands over stdin
and stdout, or its listeners, and waits for the outcome (messages.py). The node (node.py) has a session for
each command (session.py), which uses streams to one peer (streams.py), and sends its log to the commands
(logrelay.py). A run with peers serves commands in the same way (lend.py).
"""
