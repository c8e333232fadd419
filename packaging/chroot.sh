#!/bin/bash
# chroot.sh [--outside] SUITE[-ARCH] COMMAND [ARGUMENT]...
#
# Runs COMMAND as root in a bare Debian: what debootstrap's minbase has, and CA certificates. It is pristine
# each time, and whatever COMMAND changes is gone afterwards. This repository is at /project in it.
#
#   --outside          COMMAND runs on this machine, with the directory of that Debian in $ROOT
#   INCLUDE=a,b        more packages, installed once
#   OUTPUT=DIR         is at /output in it, to keep what is made
#   TOXVPN_CHROOTS=DIR where the pristine ones are kept (/var/tmp/toxvpn-chroots)
#   MIRROR=URL         Debian's archive (http://deb.debian.org/debian)
#
# It reaches the archive and PyPI as this machine does: apt's Acquire settings, the CA certificates, and the
# variables PIP_* and *_proxy go along. Foreign architectures run by qemu-user.
set -eu

in_root() {
  env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    TERM="${TERM:-dumb}" DEBIAN_FRONTEND=noninteractive "${passed[@]}" chroot "$ROOT" "$@"
}

if [ "${1-}" = --mounted ]; then # the second step, in a mount namespace of its own
  shift
  mapfile -t passed < <(env | grep -E '^(PIP_|CI=|SSL_CERT_FILE=|[A-Za-z]+_proxy=|[A-Z]+_PROXY=)' || true)
  mount -t tmpfs none "$work"
  mkdir "$work/upper" "$work/work" "$work/root"
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" "$work/root"
  export ROOT=$work/root
  mkdir -p "$ROOT/project" "$ROOT/output"
  mount --rbind /dev "$ROOT/dev"
  mount -t proc proc "$ROOT/proc"
  mount --rbind /sys "$ROOT/sys"
  mount -t tmpfs none "$ROOT/run"
  mount -t tmpfs none "$ROOT/tmp"
  mount --bind "$project" "$ROOT/project"
  [ -z "${OUTPUT-}" ] || mount --bind "$OUTPUT" "$ROOT/output"
  cp /etc/resolv.conf /etc/hosts "$ROOT/etc/"
  cp /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/"
  [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$ROOT/etc/"
  apt-config dump | grep '^Acquire::' >"$ROOT/etc/apt/apt.conf.d/00this-machine" || true
  if [ "$outside" = yes ]; then exec "$@"; else in_root sh -c 'cd /project && exec "$@"' sh "$@"; fi
  exit
fi

outside=no
[ "$1" != --outside ] || { outside=yes; shift; }
suite=${1%-*} arch=$(dpkg --print-architecture)
[ "$suite" = "$1" ] || arch=${1##*-}
shift
[ "$(id -u)" = 0 ] || { echo "chroot.sh: it mounts file systems and needs root" >&2; exit 77; }

if [ "$arch" != "$(dpkg --print-architecture)" ]; then
  command -v qemu-aarch64-static >/dev/null || apt-get install -y -q qemu-user-static binfmt-support >&2
  mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  update-binfmts --enable >&2 || true
fi

project=$(realpath "$(dirname "$0")/..")
kept=${TOXVPN_CHROOTS:-/var/tmp/toxvpn-chroots}
base=$kept/$suite-$arch${INCLUDE:+-$(printf %s "$INCLUDE" | tr , _)}
mkdir -p "$kept"
# root runs what is in there, and anybody can make a directory in /var/tmp
if [ ! -O "$kept" ] || [ -L "$kept" ]; then echo "chroot.sh: $kept is not root's own directory: remove it" >&2; exit 77; fi
exec 8>"$base.lock"
flock 8 # two at once would make it twice
if [ ! -d "$base" ]; then
  echo "chroot.sh: making a Debian $suite for $arch, once" >&2
  command -v debootstrap >/dev/null || { apt-get update -q; apt-get install -y -q debootstrap debian-archive-keyring; } >&2
  rm -rf --one-file-system "$base.new"
  debootstrap --arch="$arch" --variant=minbase --include="ca-certificates${INCLUDE:+,$INCLUDE}" \
    "$suite" "$base.new" "${MIRROR:-http://deb.debian.org/debian}" >"$base.log" 2>&1 ||
    { tail -n 5 "$base.log" "$base.new/debootstrap/debootstrap.log" >&2; exit 1; }
  mv "$base.new" "$base"
fi
exec 8>&-

export base project outside work="$kept/mounted"
mkdir -p "$work"
# the mounts go with their namespace, and that with the last process in it; those go when this one does
new="--mount"
[ "$outside" = yes ] || new="--mount --pid"
# shellcheck disable=SC2086
setpriv --pdeathsig KILL unshare $new --fork --kill-child "$0" --mounted "$@"
