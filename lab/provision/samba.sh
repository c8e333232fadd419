#!/bin/sh
# samba.sh DIRECTORY ADDRESS/BITS
# Runs a Samba file server with a configuration of its own; nothing of the machine's is used. It has one share without
# a password, "files", which is DIRECTORY/files. It listens on ADDRESS alone. (Samba overlooks devices like toxvpn0
# when given by name, and an address with a mask of /32: BITS must be less.)
set -eu
directory=$1 address=$2
mkdir -p "$directory/files" "$directory/state"

cat >"$directory/smb.conf" <<CONFIG
[global]
interfaces = $address
bind interfaces only = yes
smb ports = 445
disable netbios = yes
map to guest = bad user
private dir = $directory/state
lock directory = $directory/state
state directory = $directory/state
cache directory = $directory/state
pid directory = $directory/state
ncalrpc dir = $directory/state/ncalrpc
log file = $directory/state/log
load printers = no
printcap name = /dev/null
[files]
path = $directory/files
guest ok = yes
read only = no
force user = root
CONFIG
exec smbd --foreground --no-process-group --debug-stdout --configfile "$directory/smb.conf"
