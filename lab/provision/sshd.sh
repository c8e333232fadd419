#!/bin/sh
# sshd.sh DIRECTORY PORT [ADDRESS]
# Runs an sshd with a host key, a client key and a configuration of its own, all in DIRECTORY; nothing of the
# machine's is used. It lets client_key in as root; known_hosts is for clients, and names it for any address.
set -eu
directory=$1 port=$2 address=${3:-}
mkdir -p "$directory" /run/sshd
chmod 755 "$directory" /run/sshd
for key in host_key client_key; do
  [ -e "$directory/$key" ] || ssh-keygen -q -t ed25519 -N '' -C $key -f "$directory/$key"
done
echo "* $(cat "$directory/host_key.pub")" >"$directory/known_hosts"

cat >"$directory/sshd_config" <<CONFIG
Port $port
${address:+ListenAddress $address}
HostKey $directory/host_key
AuthorizedKeysFile $directory/client_key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
CONFIG
exec /usr/sbin/sshd -D -e -f "$directory/sshd_config"
