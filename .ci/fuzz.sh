#!/usr/bin/env bash
# Runs every fuzz target of the module. A failing input is kept by Go in the package's testdata/fuzz: fix, and commit it.
#
#	.ci/fuzz.sh TIME             each target for TIME (a Go duration)
#	.ci/fuzz.sh --budget SECONDS all targets in about SECONDS altogether, 1 to 3 s each, compilation not counted
#
# FUZZ=regexp in the environment picks targets by name.
set -euo pipefail
cd "$(dirname "$0")/.."

# Each target as "directory name", of this module only.
mapfile -t targets < <(
	grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' agent cli cluster fsm jepsen proxy transport |
		while IFS=: read -r file match; do
			[ -e "jepsen/tools/$file" ] || printf '%s %s\n' "$(dirname "$file")" "${match#func }"
		done | { grep -E " .*(${FUZZ:-Fuzz})" || true; } | sort -u
)
if [ ${#targets[@]} -eq 0 ]; then
	echo "fuzz: no target matches ${FUZZ:-Fuzz}" >&2
	exit 1
fi

case ${1:-} in
--budget)
	milliseconds=$(($2 * 1000 / ${#targets[@]}))
	[ "$milliseconds" -le 3000 ] || milliseconds=3000
	[ "$milliseconds" -ge 1000 ] || milliseconds=1000
	time=${milliseconds}ms
	;;
?*) time=$1 ;;
*)
	echo "usage: .ci/fuzz.sh TIME | --budget SECONDS" >&2
	exit 64
	;;
esac

cache=$(go env GOCACHE)/fuzz/zero
binaries=$(mktemp -d)
trap 'rm -rf "$binaries"' EXIT

# run fuzzes one target for a time, with its output in $binaries/out.
run() {
	local dir=$1 name=$2 binary=$3 time=$4
	(cd "$dir" && "$binary" -test.run='^$' -test.fuzz="^$name\$" -test.fuzztime="$time" -test.fuzzcachedir="$cache/$dir") \
		>"$binaries/out" 2>&1
}
# late tells whether the last run failed only because its time was over: Go's fuzzer then sometimes reports "context
# deadline exceeded", without an input. A hang or a crash reads differently.
late() {
	grep -q '^ *context deadline exceeded$' "$binaries/out" &&
		! grep -Eq 'Failing input|panic|hung or terminated|_test\.go:[0-9]' "$binaries/out"
}
executed() { grep -Eq 'execs: [1-9]' "$binaries/out"; }

echo "fuzz: ${#targets[@]} targets, $time each"
for target in "${targets[@]}"; do
	read -r dir name <<<"$target"
	binary=$binaries/${dir//\//-}.test
	# -fuzz instruments the code for coverage; one binary serves all targets of a package.
	[ -e "$binary" ] || go test -c -fuzz=Fuzz -o "$binary" "./$dir"
	printf 'fuzz: %s %s\n' "$dir" "$name"
	mkdir -p "$cache/$dir"
	run "$dir" "$name" "$binary" "$time" && continue
	late && executed && continue
	if late; then
		echo "fuzz: $dir $name: the machine is busy, once more for 15 s"
		run "$dir" "$name" "$binary" 15s && continue
	fi
	cat "$binaries/out"
	echo "fuzz: $dir $name FAILED; if an input did it, it is in $dir/testdata/fuzz/$name now: keep it" >&2
	exit 1
done
