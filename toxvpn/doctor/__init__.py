"""`toxvpn doctor`: checks one layer after the other until one fails.

examine.py asks with a node of its own, running.py asks a running toxvpn; network.py, nodes.py and vpn.py look
at parts of the network, layers.py keeps the order and the time, and observations.py judges what was seen.
"""
