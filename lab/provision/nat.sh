#!/bin/sh
# nat.sh [cone|symmetric|udp-blocked]
# Makes this machine a home router: what it forwards leaves by its default route, under its own address.
# cone: a source port is kept as it is, whoever the packet goes to (unless another host has it).
# symmetric: a port at random for every destination, which defeats hole punching.
# udp-blocked: cone, and no UDP passes. May be called again, to change the kind.
set -eu
[ -e /vagrant/Vagrantfile ] || [ "$(readlink /proc/self/ns/net)" != "$(readlink /proc/1/ns/net)" ] || {
  echo "nat.sh: is for the virtual machines and network namespaces of the lab alone" >&2
  exit 1
}
kind=${1:-cone} ports='' policy=''
case $kind in
  cone) ;;
  symmetric) ports=fully-random ;;
  udp-blocked) policy='meta l4proto udp drop' ;;
  *) echo "nat.sh: no kind of NAT is named $kind" >&2; exit 2 ;;
esac
wan=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p')
echo 1 >/proc/sys/net/ipv4/ip_forward

# What comes from outside without being asked for is dropped, in INPUT too: a punch packet of the other side
# must not leave an entry of its own in the connection table, or the mapping it aims at moves to another port.
nft -f - <<RULES
table ip nat {}
delete table ip nat
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "$wan" masquerade $ports
  }
  chain input {
    type filter hook input priority filter
    iifname "$wan" ct state { new, invalid } drop
  }
  chain forward {
    type filter hook forward priority filter
    iifname "$wan" ct state { new, invalid } drop
    $policy
  }
}
RULES
