#!/bin/sh
# Takes a development installation of this checkout away: ends its sessions, stops its components,
# removes its containers (also those of --enable-observability), volumes and files.
#   scripts/delete-dev.sh [-y|--yes] [--skip-db] [--env-id ID | --target-path DIR]
#     -y, --yes          does not ask
#     --skip-venvs       means nothing here: there are none
#     --skip-db          keeps the data of PostgreSQL and etcd, the folders and the configuration
#     --env-id ID        which one of this checkout ("default")
#     --target-path DIR  one that lies elsewhere
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }
wrong() {
  echo "Error: $1" >&2
  usage >&2
  exit 2
}

env_id=default target='' purge=--purge yes=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    -y | --yes) yes=1 ;;
    --skip-db) purge= ;;
    --skip-venvs) ;;
    --skip-containers) wrong '--skip-containers is not taken: --skip-db keeps the data, and the containers stop.' ;;
    --env-id=*) env_id=${1#*=} ;;
    --target-path=*) target=${1#*=} ;;
    --env-id | --target-path)
      [ $# -ge 2 ] || wrong "$1 needs a value."
      case $1 in
        --env-id) env_id=$2 ;;
        *) target=$2 ;;
      esac
      shift
      ;;
    *) wrong "'$1' is not an option." ;;
  esac
  shift
done
: "${target:=$root/.dev/$env_id}"

if [ -z "$yes" ]; then
  printf 'Delete the development installation in %s%s? [y/N] ' "$target" \
    "$([ -z "$purge" ] || echo ' with all its data')"
  read -r answer || answer=
  case $answer in
    y | Y | yes) ;;
    *) exit 0 ;;
  esac
fi
exec "$root/backend.ai" install --mode maintain --action uninstall ${purge:+"$purge"} \
  --non-interactive --target-path "$target"
