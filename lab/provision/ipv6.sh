#!/bin/sh
# ipv6.sh: makes this machine forward IPv6 too, without translation. As home routers do, it lets in what belongs to
# something that a host behind it has begun, and drops the rest.
set -eu
[ "$(readlink /proc/self/ns/net)" != "$(readlink /proc/1/ns/net)" ] || {
  echo "ipv6.sh: is for the network namespaces of the lab alone" >&2
  exit 1
}
wan=$(ip -6 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p')
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
nft -f - <<RULES
table ip6 firewall {
  chain input {
    type filter hook input priority filter
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "$wan" ct state { new, invalid } drop
  }
  chain forward {
    type filter hook forward priority filter
    iifname "$wan" ct state { new, invalid } drop
  }
}
RULES
