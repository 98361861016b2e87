#!/bin/sh
# Makes a development installation of this checkout, in .dev/<env-id>: the three servers with compose,
# and manager, agent, storage proxy and web server on them.
#   scripts/install-dev.sh [--env-id ID] [OPTIONS OF backend.ai install]
# Several live side by side with ids and ports of their own: --postgres-port, --redis-port, --etcd-port,
# --manager-port, … What sees into it: --enable-observability, --disable-telemetry. Afterwards:
# ./backend.ai dev status; scripts/delete-dev.sh takes it away.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
exec "$root/backend.ai" install --mode develop --non-interactive "$@"
