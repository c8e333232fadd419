#!/bin/sh
# toxvpn.sh REPOSITORY
# Installs toxvpn on a virtual machine: the wheel in dist/ that fits it, if there is one (scripts/wheels makes them),
# with what it needs from PyPI, or from dist/wheelhouse if there is that; else it is compiled here.
set -eu
[ -e /vagrant/Vagrantfile ] || { echo "toxvpn.sh: is for the virtual machines of the lab alone" >&2; exit 1; }
repository=$1 venv=/opt/toxvpn
python3 -m venv --clear $venv
pip() { $venv/bin/pip --quiet --disable-pip-version-check "$@"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if pip download --no-index --no-deps --only-binary :all: --find-links "$repository/dist" -d "$work" toxvpn 2>/dev/null; then
  echo "installing $(basename "$work"/*.whl)"
  if [ -d "$repository/dist/wheelhouse" ]; then
    pip install --no-index --find-links "$repository/dist/wheelhouse" "$work"/*.whl
  else
    pip install "$work"/*.whl
  fi
else
  echo "compiling toxvpn: there is no wheel for this machine in dist/"
  sh "$repository/lab/provision/packages.sh" build
  pip install "$repository"
fi
ln -sf $venv/bin/toxvpn /usr/local/bin/toxvpn
toxvpn -V
