#!/bin/sh
# Installs the pinned Bun and all locked dependencies, then runs the checks and every test.
# Arguments go to scripts/test.ts (paths or name parts of test files).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
"$root/backend.ai" --version >/dev/null
pinned=$(sed -n 's/.*"packageManager": *"bun@\([^"]*\)".*/\1/p' "$root/package.json")
bun=${XDG_CACHE_HOME:-$HOME/.cache}/backend.ai/bun-$pinned/node_modules/.bin/bun
[ -x "$bun" ] || bun=$(command -v bun)
cd "$root"
case $(cat node_modules/.backend.ai-installed 2>/dev/null) in
  dev*) ;;
  *)
    "$bun" install --frozen-lockfile
    printf 'dev %s\n' "$(cksum <bun.lock)" >node_modules/.backend.ai-installed
    ;;
esac
# Scripts and tests call `bun` and the tools by name.
PATH=$(dirname "$bun"):$root/node_modules/.bin:$PATH
export PATH
exec bun scripts/test.ts "$@"
