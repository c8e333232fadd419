"""An exit: a peer by way of whose network this machine reaches the Internet, and a machine that is one."""
