#!/bin/sh
# network.sh NAME GATEWAY|- MAC=ADDRESS/BITS…
# Gives a virtual machine its name, its addresses in the lab, its way out (-: none), and closes every other way: over the
# interfaces that are not of the lab, which is Vagrant's own, pass ssh to this machine and DHCP, and nothing else.
set -eu
[ -e /vagrant/Vagrantfile ] || { echo "network.sh: is for the virtual machines of the lab alone" >&2; exit 1; }
name=$1 gateway=$2; shift 2

echo "$name" >/etc/hostname
hostname "$name"
grep -qx "127.0.1.1 $name" /etc/hosts || echo "127.0.1.1 $name" >>/etc/hosts

management=
for device in /sys/class/net/*/device; do
  interface=$(basename "${device%/device}") address=
  for pair in "$@"; do
    [ "${pair%%=*}" != "$(cat "${device%/device}/address")" ] || address=${pair#*=}
  done
  if [ -n "$address" ]; then
    ip link set "$interface" up
    ip address replace "$address" dev "$interface"
    echo "$interface: $address"
  else
    management="$management${management:+, }\"$interface\""
    ip -4 route flush default dev "$interface"
    ip -6 route flush default dev "$interface"
    echo "$interface: ssh from Vagrant, nothing else"
  fi
done
[ "$gateway" = - ] || ip route replace default via "$gateway"

nft -f - <<RULES
table inet enclosure {}
delete table inet enclosure
table inet enclosure {
  set management { type ifname; elements = { $management } }
  chain input {
    type filter hook input priority filter - 10
    iifname @management tcp dport 22 accept
    iifname @management udp sport 67 accept
    iifname @management drop
  }
  chain output {
    type filter hook output priority filter - 10
    oifname @management tcp sport 22 accept
    oifname @management udp dport 67 accept
    oifname @management drop
  }
  chain forward {
    type filter hook forward priority filter - 10
    iifname @management drop
    oifname @management drop
  }
}
RULES
