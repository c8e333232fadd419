"""What toxvpn does, shown step by step on five machines: `python3 -m demos --help`.

The machines are network namespaces (namespaces.py, with lab/) or the virtual ones of the Vagrantfile
(virtual.py, which needs nothing but Python). The demonstrations are shell commands, the same for both.
"""
