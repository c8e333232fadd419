#!/bin/sh
# internet.sh ADDRESS NETWORK
# Makes a virtual machine the internet of the lab. It routes between the outsides of the NAT routers, runs eight
# Tox bootstrap nodes and relays (node.sh) on ADDRESS, and lists them at http://ADDRESS/nodes.json, in the
# format of https://nodes.tox.chat/json. NETWORK is the one that ADDRESS is not in.
set -eu
[ -e /vagrant/Vagrantfile ] || { echo "internet.sh: is for the virtual machines of the lab alone" >&2; exit 1; }
address=$1 network=$2 here=$(dirname "$(realpath "$0")") state=/var/lib/toxvpn-lab
echo 1 >/proc/sys/net/ipv4/ip_forward

# a node answers from the address that it was asked at, or the NAT router in front of who asked drops the answer
interface=$(ip -4 route show "$network" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
ip route replace "$network" dev "$interface" src "$address"

systemctl stop 'toxvpn-lab-*'
start() { # NAME COMMAND…
  unit=toxvpn-lab-$1; shift
  systemd-run --quiet --unit "$unit" --collect "$@"
}

known='' nodes=''
for number in 1 2 3 4 5 6 7 8; do
  directory=$state/node$number port=$((33444 + number))
  mkdir -p "$directory"
  # shellcheck disable=SC2086
  start "node$number" sh "$here/node.sh" "$directory" $port "$port" $known
  until [ -s "$directory/keys" ]; do sleep 0.1; done # the public key, then the secret one, 32 bytes each
  key=$(od -A n -t x1 -N 32 "$directory/keys" | tr -d ' \n' | tr a-f A-F)
  : "${known:=$key $address $port}"
  nodes="$nodes${nodes:+,
 }{\"ipv4\": \"$address\", \"port\": $port, \"tcp_ports\": [$port], \"public_key\": \"$key\"}"
done
mkdir -p $state/web
echo "{\"nodes\": [$nodes]}" >$state/web/nodes.json
start web python3 -m http.server --bind "$address" --directory $state/web 80
echo "eight bootstrap nodes, listed at http://$address/nodes.json"
