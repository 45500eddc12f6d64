#!/usr/bin/env bash
# Installs what the tests and the demo need and this machine lacks: Debian packages, by name. Does nothing, quickly and
# without a network, when all is there. It starts no daemon. `make deps` calls it.
set -euo pipefail

readonly GO_WANTED=1.26
# What a package is wanted for, as "package:test"; the test is a program to be found, or a file.
readonly WANTED=(
	mariadb-server:mariadbd
	mariadb-server:mariadb-install-db
	mariadb-client:mariadb
	sysbench:sysbench
	iproute2:ip         # namespaces and links of the chaos tests
	e2fsprogs:mkfs.ext4 # volumes that lose power
	util-linux:fsfreeze
	mount:mount
	gcc:gcc
	libc6-dev:/usr/include/stdlib.h # only recommended by gcc; the race detector needs it
	python3:python3
	git:git
)
# Daemons are where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'deps: %s\n' "$*"; }
die() {
	printf 'deps: %s\n' "$*" >&2
	exit 1
}

check_go() {
	command -v go >/dev/null || die "Go $GO_WANTED or newer is needed and there is no go in PATH: see https://go.dev/doc/install"
	local have
	have=$(GOTOOLCHAIN=local go env GOVERSION)
	have=${have#go}
	if [ "$(printf '%s\n' "$GO_WANTED" "$have" | sort -V | head -n 1)" != "$GO_WANTED" ]; then
		die "Go $GO_WANTED or newer is needed and this is go$have: see https://go.dev/doc/install"
	fi
}

# missing prints the packages to install, one a line.
missing() {
	local want package probe
	for want in "${WANTED[@]}"; do
		package=${want%%:*} probe=${want#*:}
		case $probe in
		/*) [ -e "$probe" ] || echo "$package" ;;
		*) command -v "$probe" >/dev/null || echo "$package" ;;
		esac
	done | sort -u
}

readonly POLICY=/usr/sbin/policy-rc.d

# restore puts the machine's own policy back, or leaves it without one as it was.
restore() {
	if [ -n "${policy_kept:-}" ]; then
		mv -f "$policy_kept" "$POLICY"
	else
		rm -f "$POLICY"
	fi
}

# install installs packages, as root. A policy-rc.d that answers 101 ("forbidden by policy") keeps their daemons from being
# started.
install() {
	export DEBIAN_FRONTEND=noninteractive
	if [ -e "$POLICY" ] || [ -L "$POLICY" ]; then
		policy_kept=$(mktemp -u "$POLICY.zero-XXXXXX")
		mv "$POLICY" "$policy_kept"
	fi
	trap restore EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	printf '#!/bin/sh\nexit 101\n' >"$POLICY"
	chmod 755 "$POLICY"

	local options=(--yes --quiet --no-remove --no-install-recommends)
	# The lists may be missing (a fresh image) or old (the versions that they name are gone).
	if ! apt-get "${options[@]}" --simulate install "$@" >/dev/null 2>&1; then
		apt-get --quiet update || die "apt-get update failed: see above"
	fi
	if ! apt-get "${options[@]}" install "$@"; then
		say "trying once more with fresh package lists"
		apt-get --quiet update || die "apt-get update failed: see above"
		apt-get "${options[@]}" install "$@" || die "could not install $*: see above"
	fi
}

if [ "${1:-}" = --install ]; then # the part that needs root
	shift
	install "$@"
	exit 0
fi

check_go
mapfile -t packages < <(missing)
if [ ${#packages[@]} -eq 0 ]; then
	say "nothing is missing"
	exit 0
fi
command -v apt-get >/dev/null || die "missing: ${packages[*]} (names of Debian packages); this machine has no apt-get to install them with"
say "installing the Debian packages ${packages[*]}"
self=$(readlink -f "$0")
if [ "$(id -u)" -eq 0 ]; then
	bash "$self" --install "${packages[@]}"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	sudo -n bash "$self" --install "${packages[@]}"
else
	die "installing needs root, and sudo without a password is not to be had. Run this, then try again:
	sudo bash $self --install ${packages[*]}"
fi
mapfile -t packages < <(missing)
[ ${#packages[@]} -eq 0 ] || die "still missing after the installation: ${packages[*]}"
say "done"
