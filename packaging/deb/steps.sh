# shellcheck shell=bash
# Sourced by the checks: each step is a line that says PASS, or FAIL and what the command said.

failed=0

step() { # NAME COMMAND...: passes if the command succeeds, and every line of it if it is a function
  name=$1
  shift
  set +e
  (set -e; "$@") >/tmp/step.log 2>&1
  status=$?
  set -e
  if [ $status = 0 ]; then
    echo "PASS $name"
  else
    echo "FAIL $name"
    tail -n 25 /tmp/step.log | sed 's/^/     /'
    failed=$((failed + 1))
  fi
}

same() { [ "$1" = "$2" ] || { echo "before: $1"; echo "now: $2"; return 1; }; }

absent() { # PATH...
  for path; do
    if [ -e "$path" ] || [ -L "$path" ]; then echo "$path is still there"; return 1; fi
  done
}

finish() {
  [ "$failed" = 0 ] || { echo "$failed steps failed"; exit 1; }
  echo "all steps passed"
}
