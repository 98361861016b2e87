#!/bin/sh
# Compiles the whole product into one executable.
#   scripts/build.sh                         dist/backend.ai for this platform
#   scripts/build.sh --all                   dist/release for every platform: executables compressed
#                                            with xz and gzip, install.sh, a bill of materials, SHA256SUMS
#   scripts/build.sh --release PLATFORM...   the same for some, such as linux-x64 or darwin-arm64;
#                                            with --quick before them larger, to try it out
# A release needs GNU tar and xz.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
if ! command -v bun >/dev/null 2>&1; then
  pinned=$(sed -n 's/.*"packageManager": *"bun@\([^"]*\)".*/\1/p' package.json)
  PATH=${XDG_CACHE_HOME:-$HOME/.cache}/backend.ai/bun-$pinned/node_modules/.bin:$PATH
  export PATH
  ./backend.ai --version >/dev/null
fi
exec bun scripts/build.ts "$@"
