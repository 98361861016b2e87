#!/bin/sh
# Runs the checks and every test on real parts.
#   scripts/test.sh [--install] [test files or parts of their names]
# --install first fetches, with apt, the Debian packages the tests need. Without them (on a laptop)
# the tests that need a missing part are skipped and say so; with CI=true they fail instead.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)

if [ "${1:-}" = --install ]; then
  shift
  sh "$root/scripts/install-test-packages.sh"
fi

"$root/backend.ai" --version >/dev/null
pinned=$(sed -n 's/.*"packageManager": *"bun@\([^"]*\)".*/\1/p' "$root/package.json")
bin=${XDG_CACHE_HOME:-$HOME/.cache}/backend.ai/bun-$pinned/node_modules/.bin
[ -x "$bin/bun" ] || bin=$(dirname "$(command -v bun)")
PATH=$bin:$root/node_modules/.bin:/usr/sbin:/sbin:$PATH
export PATH
cd "$root"
case $(cat node_modules/.backend.ai-installed 2>/dev/null) in
  dev*) ;;
  *)
    echo '⋯ installing the development dependencies (once)' >&2
    bun install --frozen-lockfile >&2
    printf 'dev %s\n' "$(cksum <bun.lock)" >node_modules/.backend.ai-installed
    ;;
esac
exec bun scripts/test.ts "$@"
