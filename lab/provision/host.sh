#!/bin/sh
# host.sh URL
# Makes a virtual machine one that toxvpn can be tried on: its configuration names the lab's bootstrap nodes, of
# which URL is the list. It waits for the NAT router and the internet of the lab to be up.
set -eu
[ -e /vagrant/Vagrantfile ] || { echo "host.sh: is for the virtual machines of the lab alone" >&2; exit 1; }
mkdir -p /etc/toxvpn
curl --silent --show-error --fail --max-time 10 --retry 150 --retry-all-errors --retry-delay 2 --retry-max-time 600 \
  --output /etc/toxvpn/nodes.json "$1"
[ -e /etc/toxvpn/config.toml ] || printf '[node]\nnodes_file = "nodes.json"\n' >/etc/toxvpn/config.toml
echo "bootstrap nodes: $(grep -c public_key /etc/toxvpn/nodes.json)"
