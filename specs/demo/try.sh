#!/bin/sh
# Runs the demo list in a scratch repository, and shows the history that it leaves. Arguments go to `spec run`.
set -eu
project=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
mkdir -p "$scratch/specs/demo"
cp "$project/specs/demo/tasks.md" "$scratch/specs/demo"
git init -q "$scratch"
git -C "$scratch" config user.name demo
git -C "$scratch" config user.email demo@localhost
git -C "$scratch" add .
git -C "$scratch" commit -q -m "chore: add the list"
cargo build -q --manifest-path "$project/Cargo.toml"
"${CARGO_TARGET_DIR:-$project/target}/debug/spec" run "$scratch/specs/demo/tasks.md" "$@"
git -C "$scratch" --no-pager log --oneline
echo "All of it is in $scratch"
