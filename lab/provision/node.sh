#!/bin/sh
# node.sh DIRECTORY PORT RELAY_PORTS [KNOWN_KEY KNOWN_ADDRESS KNOWN_PORT]
# Runs a Tox bootstrap node, which is a TCP relay on RELAY_PORTS ("443, 33445") too. It prints its public key,
# keeps its keys in DIRECTORY, and joins the network of the known node; the first one of a network knows none.
set -eu
directory=$1 port=$2 relay_ports=$3
known=
[ $# -lt 6 ] || known="{ public_key = \"$4\", address = \"$5\", port = $6 }"

cat >"$directory/bootstrapd.conf" <<CONFIG
port = $port
keys_file_path = "$directory/keys"
pid_file_path = "$directory/pid"
enable_ipv6 = true
enable_ipv4_fallback = true
enable_lan_discovery = false
enable_tcp_relay = true
tcp_relay_ports = [$relay_ports]
enable_motd = true
motd = "lab"
bootstrap_nodes = ( $known )
CONFIG
exec tox-bootstrapd --foreground --log-backend stdout --config "$directory/bootstrapd.conf"
