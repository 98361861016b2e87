#!/bin/sh
# Upgrades an installation of an older revision to this checkout while sessions run, as a test does it:
#   scripts/upgrade-test.sh [REV]
# REV is anything that git knows; by default the last tag, or where there is none, 100 commits ago. It is
# checked out beside this one, its libraries are installed, and it is removed again at the end.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
say() { printf '%s\n' "$*" >&2; }

if ! git rev-parse --verify --quiet HEAD >/dev/null; then
  say "✗ $root has no history to take an older revision from."
  exit 1
fi
wanted=${1:-$(git describe --tags --abbrev=0 2>/dev/null || echo HEAD~100)}
if ! revision=$(git rev-parse --verify --quiet "$wanted^{commit}"); then
  say "✗ git knows no revision '$wanted'. Name one: scripts/upgrade-test.sh REV"
  exit 1
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/backend.ai-older-XXXXXX")
leave() {
  git worktree remove --force "$folder/checkout" >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap leave EXIT
trap 'exit 130' INT TERM
git worktree add --quiet --detach "$folder/checkout" "$revision"
say "⋯ $(git log -1 --format='%h %ad %s' --date=short "$revision")"
"$folder/checkout/backend.ai" --version >&2
# A folder that every account may enter: containers and PostgreSQL run as others.
chmod 755 "$folder"
BACKEND_TEST_UPGRADE_FROM=$folder/checkout "$root/scripts/test.sh" src/install/upgrade.test.ts
