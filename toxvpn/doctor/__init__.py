"""`toxvpn doctor`: one layer after the other, until one fails (examine.py, or running.py where one runs).

way.py and nodes.py look at the way into the network, walk.py keeps the order and the time, and report.py
judges what was seen.
"""
