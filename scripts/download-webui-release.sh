#!/bin/sh
# Fetches a release of the WebUI, to be served by `backend.ai up --webui DIR` or by the web server's
# `static-path`.
#   scripts/download-webui-release.sh VERSION [DIR]
# VERSION as in 26.4.8, DIR (./webui by default) must be empty or absent. WEBUI_RELEASES names another
# place that has v<VERSION>/backend.ai-webui-bundle-<VERSION>.zip.
set -eu
version=${1:-}
folder=${2:-webui}
case $version in
  '' | *[!0-9A-Za-z.+-]*)
    echo "✘ usage: $0 VERSION [DIR], with a version such as 26.4.8" >&2
    exit 2
    ;;
esac
version=${version#v}
releases=${WEBUI_RELEASES:-https://github.com/lablup/backend.ai-webui/releases/download}
url=$releases/v$version/backend.ai-webui-bundle-$version.zip
for tool in curl unzip; do
  command -v "$tool" >/dev/null || { echo "✘ '$tool' is needed; install it first." >&2; exit 1; }
done
if [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
  echo "✘ '$folder' is not empty; name another folder or delete it." >&2
  exit 1
fi

parent=$(dirname "$folder")
mkdir -p "$parent"
work=$(mktemp -d "$parent/.webui-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
echo "⋯ fetching $url" >&2
curl --fail --location --show-error --connect-timeout 20 --max-time 600 --max-filesize 536870912 \
  --progress-bar --output "$work/bundle.zip" "$url" || {
  echo "✘ there is no such release there, or it cannot be reached." >&2
  exit 1
}
unzip -q "$work/bundle.zip" -d "$work/files" || { echo "✘ what was fetched is no archive." >&2; exit 1; }
# Some releases have everything in one folder.
top=$work/files
[ -f "$top/index.html" ] || top=$(dirname "$(find "$top" -maxdepth 2 -name index.html | head -n 1)")
[ -f "$top/index.html" ] || { echo "✘ the archive holds no index.html." >&2; exit 1; }
rmdir "$folder" 2>/dev/null || :
mv "$top" "$folder"
chmod 755 "$folder"
echo "✓ WebUI $version is in $folder; serve it: backend.ai up --webui $folder" >&2
