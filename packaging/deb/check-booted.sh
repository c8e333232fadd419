#!/bin/bash
# check-booted.sh: the package under a booted systemd, with a kernel of Debian's own and no network.
# scripts/check-deb runs it in a virtual machine, which has /root/deb/{this,newer}.deb and, installed, what they need.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/steps.sh"
[ -e /root/deb/this.deb ] || { echo "check-booted.sh: is for its virtual machine alone: it purges toxvpn" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
secret="a secret that nobody else knows"

main_pid() { systemctl show -p MainPID --value "$1"; }
active() { same active "$(systemctl is-active "$1")" || { journalctl --no-pager -n 20 -u "$1"; false; }; }

idle() {
  same "disabled inactive" "$(systemctl is-enabled toxvpn || true) $(systemctl is-active toxvpn || true)"
  ! pgrep -f toxvpn
}

configure() { # no network, and so no nodes but one that nobody is
  key=$(printf 'AB%.0s' {1..32})
  echo '{"nodes": [{"ipv4": "127.0.0.1", "port": 33445, "public_key": "'"$key"'"}]}' >/etc/toxvpn/nodes.json
  printf '[node]\nnodes_file = "nodes.json"\n[server]\nsecret_file = "secrets/server"\n' >/etc/toxvpn/office.toml
  { cat /etc/toxvpn/office.toml; echo '[vpn]'; } >/etc/toxvpn/config.toml
  (umask 077; echo "$secret" >/etc/toxvpn/secrets/server)
  toxvpn config check
}

sandboxed() { # another user than root, one capability, no new ones, a filter for system calls
  status=/proc/$(main_pid toxvpn)/status
  grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "$status"
  for line in 'Uid:.[1-9].*' 'CapEff:.0000000000001000' 'CapBnd:.0000000000001000' 'NoNewPrivs:.1' 'Seccomp:.2'; do
    grep -qx "$line" "$status"
  done
}

same_identity() { same "$identity" "$(toxvpn id)"; }

silent() { ! journalctl --no-pager | grep -F "$secret"; }

restarted() { # by the upgrade, each with the new version and enabled as before
  active toxvpn
  active toxvpn@office
  [ "$(main_pid toxvpn)" != "$pid" ]
  [ "$(main_pid toxvpn@office)" != "$office" ]
  same enabled "$(systemctl is-enabled toxvpn)"
}

apparmor() { # the profile is only for those who have AppArmor 4
  aa-enabled
  active apparmor
  if [ -e /etc/apparmor.d/abi/4.0 ]; then
    apparmor_parser -Q /etc/apparmor.d/toxvpn
    grep -q '^toxvpn (unconfined)' /sys/kernel/security/apparmor/profiles
  else
    absent /etc/apparmor.d/toxvpn
  fi
}

stopped() { ! pgrep -f /usr/bin/toxvpn && ! ip link show toxvpn0; }

purged() {
  absent /var/lib/toxvpn /var/lib/private/toxvpn /var/lib/private/toxvpn-office /etc/toxvpn /run/toxvpn /run/private/toxvpn \
    /etc/systemd/system/multi-user.target.wants/toxvpn{,@office}.service /etc/apparmor.d/toxvpn
  same "$users" "$(getent passwd)"
  same not-found "$(systemctl show -p LoadState --value toxvpn)"
}

until [ "$(systemctl is-active multi-user.target)" = active ]; do sleep 1; done
users=$(getent passwd)
step "it installs" dpkg -i /root/deb/this.deb
step "nothing is enabled, nothing runs" idle
step "AppArmor is as it should be" apparmor
step "it can be configured" configure
step "it is enabled and starts" systemctl enable --now toxvpn
step "a second one by name is enabled and starts" systemctl enable --now toxvpn@office
step "both serve" eval 'active toxvpn && active toxvpn@office'
identity=$(toxvpn id)
step "it has a user of its own and one capability" sandboxed
echo "     $(systemd-analyze --no-pager security toxvpn | tail -n 1)"
step "the VPN's device is there" ip link show toxvpn0
step "it restarts" systemctl restart toxvpn
step "it is who it was" same_identity
pid=$(main_pid toxvpn) office=$(main_pid toxvpn@office)
step "a newer version installs over it" dpkg -i /root/deb/newer.deb
step "the upgrade has restarted what ran" restarted
step "it is who it was" same_identity
step "the journal knows no secret" silent
step "removing it" dpkg --remove toxvpn-py
step "what ran is stopped" stopped
step "the identity is kept" test -s /var/lib/private/toxvpn/tox_save
step "purging it" dpkg --purge toxvpn-py
step "nothing of it is left" purged
finish
