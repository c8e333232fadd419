#!/bin/sh
# packages.sh internet|nat|host|build
# Installs the Debian packages that a virtual machine of this kind needs ("build": to compile toxvpn there).
# Does not need the internet if they are there already. Daemons that packages bring do not run.
set -eu
case $1 in
  internet) packages='iproute2 iputils-ping nftables python3 toxcore-utils' ;;
  nat) packages='iproute2 iputils-ping nftables' ;;
  host) packages='curl iperf3 iproute2 iputils-ping nftables openssh-client openssh-server python3-venv samba smbclient' ;;
  build) packages='gcc libc6-dev libtoxcore-dev python3-dev python3-venv' ;;
  *) echo "packages.sh: no kind of machine is named $1" >&2; exit 2 ;;
esac

# shellcheck disable=SC2086
installed=$(dpkg-query -W -f '${Package}=${db:Status-Status}\n' $packages 2>/dev/null || true)
missing=
for package in $packages; do
  echo "$installed" | grep -qx "$package=installed" || missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >/dev/null
  # shellcheck disable=SC2086
  apt-get install -y -q --no-install-recommends $missing >/dev/null
fi
[ -e /vagrant/Vagrantfile ] || exit 0 # not on a machine where somebody needs them
[ -d /run/systemd/system ] || exit 0
for daemon in iperf3 nmbd samba-ad-dc smbd tox-bootstrapd; do
  [ ! -e /lib/systemd/system/$daemon.service ] || systemctl mask --quiet --now $daemon
done
