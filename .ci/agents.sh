#!/usr/bin/env bash
# Installs the real agent programs that tests/agents drives against a model server of their own, into target/agents, from
# the npm registry: about 1.6 GB. Each has the version that the tests were written with. A second call does nothing.
# With `aider` behind it, aider is installed as well, from PyPI: too large and slow for every run.
# Exit 1, with the reason, where that is not possible; the tests then say so and skip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
into=$PWD/target/agents

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) cpu=x64 ;;
  Linux-aarch64) cpu=arm64 ;;
  *) echo "agents: no programs for this machine ($(uname -sm))"; exit 1 ;;
esac
# The packages of one platform where there are such: they need no script to be run, and half the room.
packages="@anthropic-ai/claude-code-linux-$cpu@2.1.329 @openai/codex@0.169.0-linux-$cpu opencode-linux-$cpu@1.18.33
  @google/gemini-cli@0.61.0 @qwen-code/qwen-code@0.24.4 @github/copilot-linux-$cpu@1.0.102"
# Two of them are run by node, and one of those wants it newer than Debian's.
node=$(node --version 2>/dev/null || echo v0)
node=${node#v}
[ "${node%%.*}" -ge 22 ] || packages="$packages node-linux-$cpu@24.21.0"
packages=$(echo $packages)

# aider, where it is asked for, whether or not the others are there.
aider() {
  [ "${1:-}" = aider ] && [ ! -x "$into/bin/aider" ] || return 0
  python3 -m venv "$into/aider" && "$into/aider/bin/pip" install --quiet --no-compile aider-chat==0.86.2 || {
    echo "agents: aider cannot be installed from PyPI"
    exit 1
  }
  ln -sf ../aider/bin/aider "$into/bin/aider"
  echo "agents: aider is in target/agents ($(du -sh "$into/aider" | cut -f1))"
}

if [ "$(cat "$into/installed" 2>/dev/null)" = "$packages" ]; then
  echo "agents: already in target/agents"
  aider "$@"
  exit 0
fi
command -v npm >/dev/null || { echo "agents: npm is needed to install them"; exit 1; }
rm -rf "$into"
mkdir -p "$into/bin"
# Without a file of its own npm would look for a project in the folders above.
echo '{"private": true}' >"$into/package.json"
npm install --prefix "$into" --ignore-scripts --omit=optional --no-audit --no-fund --no-package-lock --loglevel=error \
  --fetch-retries=1 --fetch-timeout=120000 $packages || {
  echo "agents: the npm registry did not give them"
  exit 1
}
modules=$into/node_modules
link() {
  [ -x "$2" ] || { echo "agents: $1 is not where it is expected ($2)"; exit 1; }
  ln -sf "$2" "$into/bin/$1"
}
link claude "$modules/@anthropic-ai/claude-code-linux-$cpu/claude"
link codex "$(find "$modules/@openai" -type f -name codex -perm -u+x | head -1)"
link copilot "$modules/@github/copilot-linux-$cpu/copilot"
link opencode "$modules/opencode-linux-$cpu/bin/opencode"
link gemini "$(readlink -f "$modules/.bin/gemini")"
link qwen "$(readlink -f "$modules/.bin/qwen")"
[ ! -d "$modules/node-linux-$cpu" ] || link node "$modules/node-linux-$cpu/bin/node"
echo "$packages" >"$into/installed"
echo "agents: installed in target/agents ($(du -sh "$into" | cut -f1))"
aider "$@"
