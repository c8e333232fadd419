"""What lies behind a machine where toxvpn has no root, offered to its peers by means of ordinary sockets."""
