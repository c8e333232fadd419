#!/bin/bash
# check-installed.sh PACKAGE.deb: installs, upgrades, removes and purges it on a bare Debian, without systemd.
# scripts/check-deb runs it in a chroot. It needs root, and leaves a changed system.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/steps.sh"
package=$1
[ ! -d /run/systemd/system ] || { echo "check-installed.sh: is for a chroot alone: it purges toxvpn" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive

install() { apt-get install -y -q --no-install-recommends "$@"; }

files() { # whatever is on the disk, but what any installation changes
  find / -xdev \( -path /tmp -o -path /output -o -path /project -o -path /var/cache -o -path /var/log \
    -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd -o -path /root/.cache \
    -o -path /etc/ld.so.cache -o -name __pycache__ \) -prune -o -print | sort
}

newer() { # the same files as a version that comes after
  rm -rf /tmp/newer
  dpkg-deb -R "$package" /tmp/newer
  sed -i 's/^Version: .*/&+next/' /tmp/newer/DEBIAN/control
  dpkg-deb -b /tmp/newer /tmp/newer.deb
}

other_toxvpn() { # what the package must not overwrite: a package with another program of that name
  mkdir -p /tmp/other/DEBIAN /tmp/other/usr/bin
  printf '#!/bin/sh\n' >/tmp/other/usr/bin/toxvpn
  printf 'Package: toxvpn\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.invalid>\nDescription: x\n' \
    >/tmp/other/DEBIAN/control
  dpkg-deb -b /tmp/other /tmp/other.deb
  ! dpkg -i /tmp/other.deb
}

in_force() { # all parts under libtoxcore, and the shield where the library has the flaw
  toxvpn -V
  for part in sockets batch clock 'page lock'; do toxvpn -V | grep -qx "$part: in force"; done
  ! toxvpn -V | grep '^shield:' | grep -qv 'in force'
}

modes() {
  same "0755 0700 0644 root:root" \
    "$(stat -c 0%a /etc/toxvpn) $(stat -c 0%a /etc/toxvpn/secrets) $(stat -c '0%a %U:%G' /etc/toxvpn/config.toml)"
  [ ! -e /var/lib/toxvpn ]
}

completes() {
  bash -c '. /usr/share/bash-completion/completions/toxvpn; complete -p toxvpn'
  for file in zsh/vendor-completions/_toxvpn fish/vendor_completions.d/toxvpn.fish; do
    grep -q toxvpn "/usr/share/$file"
  done
}

not_enabled() { ! find /etc/systemd/system -name '*toxvpn*' | grep .; }

kept() { # identity, secrets and the edited configuration
  same "$identity" "$(toxvpn id)"
  same "$digest" "$(sha256sum /var/lib/toxvpn/tox_save /etc/toxvpn/secrets/server)"
  grep -q '^# edited$' /etc/toxvpn/config.toml
}

only_the_edited_file_differs() { same "??5?????? c /etc/toxvpn/config.toml" "$(dpkg -V toxvpn-py)"; }

no_leftovers() {
  apt-get autoremove -y -q --purge
  files >/tmp/after
  diff /tmp/before /tmp/after
  same "$users" "$(getent passwd)"
}

apt-get update -q >/dev/null
install man-db bash-completion >/dev/null 2>&1 # so that they are there before
rm -f /etc/dpkg/dpkg.cfg.d/docker
users=$(getent passwd)
files >/tmp/before

step "it installs from the file, with what it needs from the archive" install "$package"
echo "     $(dpkg-query -W -f '${Package} ${Version}, ${Installed-Size} kB installed; ' toxvpn-py)" \
  "$(comm -13 /tmp/before <(files) | wc -l) new files"
step "toxvpn -V: every part is in force" in_force
toxvpn -V | sed 's/^/     /'
step "the manual opens" sh -c 'man toxvpn | grep -q "reach a machine behind any NAT"'
step "bash completes; zsh and fish have their files" completes
step "nobody but root can look into /etc/toxvpn/secrets" modes
step "the service is not enabled" not_enabled
step "the configuration that comes with it is good" toxvpn config check
step "two nodes find each other and a page comes through (toxvpn try)" toxvpn try
step "another program's package toxvpn is not mixed with it" other_toxvpn

identity=$(toxvpn id)
(umask 077; echo 'a secret that is long enough' >/etc/toxvpn/secrets/server)
echo '# edited' >>/etc/toxvpn/config.toml
digest=$(sha256sum /var/lib/toxvpn/tox_save /etc/toxvpn/secrets/server)
step "only the edited configuration differs from the package (dpkg -V)" only_the_edited_file_differs

newer >/dev/null
step "a newer version installs over it" install /tmp/newer.deb
step "it keeps the identity, the secret and the edited configuration" kept
step "removing it" apt-get remove -y -q toxvpn-py
step "the program is gone" absent /usr/bin/toxvpn /usr/lib/python3/dist-packages/toxvpn
step "identity and configuration are kept" test -s /var/lib/toxvpn/tox_save -a -s /etc/toxvpn/secrets/server
step "it installs again" install "$package"
step "it is who it was" kept
step "purging it" apt-get purge -y -q toxvpn-py
step "state, configuration and secrets are gone" absent /var/lib/toxvpn /etc/toxvpn /run/toxvpn
step "no file and no user is left" no_leftovers
finish
