# Sourced by the scripts beside it: how they talk, what they ask of the machine, where they keep
# what was costly to make.
# shellcheck shell=bash

PATH=$PATH:/usr/sbin:/sbin # where dockerd is, for people who are not root

# A question that Ctrl-C cut short was not answered "no".
trap 'exit 130' INT

say() { printf '▸ %s\n' "$*" >&2; }

# die WHAT-HAPPENED [WHAT-TO-DO …]
die() {
  printf '✗ %s\n' "$1" >&2
  shift
  if [ $# -gt 0 ]; then printf '  %s\n' "$@" >&2; fi
  exit 1
}

need_root() {
  [ "$(id -u)" -eq 0 ] || die "$1 needs root." "Run it as root, or with sudo."
}

# bounded SECONDS COMMAND… (macOS has no timeout)
bounded() {
  if command -v timeout >/dev/null; then timeout "$@"; else "${@:2}"; fi
}

cache_dir() { printf '%s/traefik-bg\n' "${XDG_CACHE_HOME:-${HOME:-/root}/.cache}"; }

# Prints the machine's distribution and its release's name, such as "debian bookworm".
distribution() (
  ID=unknown VERSION_CODENAME=unknown
  # shellcheck source=/dev/null
  [ ! -r /etc/os-release ] || . /etc/os-release
  printf '%s %s\n' "$ID" "$VERSION_CODENAME"
)

# Prints what apt's own source list says as "ADDRESS SUITE COMPONENT" lines.
apt_sources() {
  local lines asked
  for asked in before after; do
    # shellcheck disable=SC2016  # apt's own placeholders, not the shell's
    lines=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
      'Created-By: Packages')
    [ -z "$lines" ] || break
    # Apt tells only of what it has fetched once: nothing, on a new machine.
    [ $asked = after ] || apt-get update >/dev/null
  done
  printf '%s\n' "$lines"
}

# Installs packages quietly; apt's whole output is shown when it fails.
apt_install() {
  local log
  log=$(mktemp)
  if ! { apt-get update &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
    >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    die "apt-get could not install: $*" "Its own words are above."
  fi
  rm -f "$log"
}
