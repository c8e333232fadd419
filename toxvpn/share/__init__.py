"""One node for all commands of a user to the same server (docs/decisions/0005-shared-node.md).

A command (command.py) finds the node at a socket (meeting.py), or starts it (start.py), hands it stdin
and stdout, or its listeners, and waits for the outcome (messages.py). The node is a process of its own
(node.py), with a session for each command (session.py), whose log lines it gets back (retell.py).
"""
