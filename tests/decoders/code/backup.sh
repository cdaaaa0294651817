#!/usr/bin/env bash
# Copies the newest files to a folder.
set -euo pipefail

copy_newest() {
    local from=$1 to=$2
    mkdir -p "$to"
    find "$from" -type f -mtime -1 | while read -r file; do
        cp -- "$file" "$to/$(basename "$file")"
    done
}

if [[ $# -ne 2 ]]; then
    echo "usage: $0 FROM TO" >&2
    exit 2
fi
copy_newest "$1" "$2"
