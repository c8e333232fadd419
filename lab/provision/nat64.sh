#!/bin/sh
# nat64.sh PREFIX FOLDER: makes this router translate what hosts behind it send to PREFIX:a.b.c.d into IPv4 (RFC 6146),
# by tayga, from here to its end. nat.sh and ipv6.sh come first: tayga gives each host a private IPv4 address, and
# all of them leave under the router's own.
set -eu
prefix=$1 settings=$2/tayga.conf
cat >"$settings" <<TAYGA
tun-device nat64
ipv4-addr 10.64.0.1
prefix $prefix
dynamic-pool 10.64.0.0/16
TAYGA
tayga -c "$settings" --mktun >/dev/null
ip link set nat64 up
ip route add 10.64.0.0/16 dev nat64
ip -6 route add "$prefix" dev nat64
exec tayga -c "$settings" -d
