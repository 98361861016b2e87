#!/bin/sh
# A smoke test of a built executable, on any machine: a cluster of its own in a temporary folder, a
# session that prints hello world, and everything taken away again.
#   scripts/smoke.sh [EXECUTABLE]        (dist/backend.ai by default)
set -eu
executable=${1:-$(cd "$(dirname "$0")/.." && pwd -P)/dist/backend.ai}
[ -x "$executable" ] || {
  echo "✗ $executable is not there; scripts/build.sh makes it." >&2
  exit 1
}
folder=$(mktemp -d)
chmod 755 "$folder"
BACKEND_DATA_DIR=$folder
BACKEND_ENV_ID=smoke
export BACKEND_DATA_DIR BACKEND_ENV_ID
clean() {
  "$executable" down --sessions --purge >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap clean EXIT
trap 'exit 130' INT TERM

expect() { # WHAT EXPECTED COMMAND...
  what=$1 expected=$2
  shift 2
  printf '⋯ %s\n' "$what" >&2
  output=$("$@") || {
    echo "✗ $what: exit code $?" >&2
    exit 1
  }
  case $output in
    *"$expected"*) printf '✓ %s\n' "$what" >&2 ;;
    *)
      printf '✗ %s: expected "%s", got:\n%s\n' "$what" "$expected" "$output" >&2
      exit 1
      ;;
  esac
}

expect 'version' 'backend.ai' "$executable" --version
expect 'start' '"endpoint"' "$executable" --output json up --detach
expect 'hello world' 'hello world' "$executable" run --rm bash -c 'echo hello world'
expect 'list' '' "$executable" ps
expect 'stop' '"stopped": true' "$executable" --output json down --sessions
echo '✓ all well' >&2
