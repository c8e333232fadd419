#!/bin/sh
# nat.sh [KIND] [hairpin]
# Makes this machine a router that forwards by its default route, under its own address. Kinds, by what becomes of UDP:
# cone: a source port is kept as it is, whoever the packet goes to (unless another host has it); whoever was sent
#   something from a port may answer to it, and nobody else.
# full-cone: as cone, and everybody may send to a port once it is in use.
# moved-cone: as cone, but the port becomes another one, the same for every destination.
# symmetric: a port at random for every destination, which defeats hole punching.
# udp-blocked: cone, and no UDP passes.
# https-only: nothing but TCP to port 443 passes.
# closed: nothing passes; only the router itself reaches out.
# portal: nothing passes, and TCP to anywhere arrives at the router's own port 80.
# hairpin: hosts on the LAN reach each other by the public address and their ports there (cone and full-cone).
# May be called again, to change the kind.
set -eu
[ -e /vagrant/Vagrantfile ] || [ "$(readlink /proc/self/ns/net)" != "$(readlink /proc/1/ns/net)" ] || {
  echo "nat.sh: is for the virtual machines and network namespaces of the lab alone" >&2
  exit 1
}
wan=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p')
kind=${1:-cone} hairpin=${2:-} udp='' strangers='' policy=''
case $kind in
  cone) ;;
  full-cone) strangers="iifname $wan dnat to udp dport map @mapped" ;;
  moved-cone) udp='masquerade to :jhash ip saddr . udp sport mod 30000 offset 20000' ;;
  symmetric) udp='masquerade fully-random' ;;
  udp-blocked) policy='meta l4proto udp drop' ;;
  https-only) policy="iifname != $wan tcp dport != 443 drop; iifname != $wan meta l4proto != tcp drop" ;;
  closed) policy=drop ;;
  portal) policy=drop strangers="iifname != $wan meta l4proto tcp redirect to :80" ;;
  *) echo "nat.sh: no kind of NAT is named $kind" >&2; exit 2 ;;
esac
address=$(ip -4 -o address show dev "$wan" | sed -n 's,.* inet \([0-9.]*\)/.*,\1,p')
neighbours='' back=''
case $hairpin in
  '') ;;
  hairpin)
    neighbours="iifname != $wan ip daddr $address dnat to udp dport map @mapped"
    back="oifname != $wan ct status dnat snat to $address"
    ;;
  *) echo "nat.sh: $hairpin is not \"hairpin\"" >&2; exit 2 ;;
esac
echo 1 >/proc/sys/net/ipv4/ip_forward
# what the LAN's bridge passes from port to port is none of these rules' business
bridged=/proc/sys/net/bridge/bridge-nf-call-iptables
[ ! -e $bridged ] || echo 0 >$bridged

# What comes from outside without being asked for is dropped, in INPUT too: a punch packet of the other side
# must not leave an entry of its own in the connection table, or the mapping it aims at moves to another port.
nft -f - <<RULES
table ip nat {}
delete table ip nat
table ip nat {
  map mapped {
    type inet_service : ipv4_addr
    flags dynamic
    timeout 3m
    size 4096
  }
  chain prerouting {
    type nat hook prerouting priority dstnat
    $strangers
    $neighbours
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    $back
    oifname "$wan" meta l4proto udp $udp
    oifname "$wan" masquerade
  }
  chain input {
    type filter hook input priority filter
    iifname "$wan" ct state { new, invalid } drop
  }
  chain forward {
    type filter hook forward priority filter
    $policy
    iifname "$wan" ct status dnat accept
    iifname "$wan" ct state { new, invalid } drop
    iifname != "$wan" meta l4proto udp update @mapped { udp sport : ip saddr }
  }
}
RULES
