#!/usr/bin/env bash
# Runs the parts of `make test` one after the other, stops at the first that fails, and ends with the seconds of each.
#
#	.ci/test.sh [PART …]     all parts when none is named
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

readonly ALL=(deps verify build unit e2e demo demo-control jepsen fuzz-smoke)
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=("${ALL[@]}")

table=()
started=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# What failed, once more at the very end: where only the end of a log is kept, it is all that can be read.
why() {
	printf '\nwhy %s failed:\n' "$1"
	{
		grep -aE '^[[:space:]]*--- FAIL|^FAIL|^panic:|^fatal error:|DATA RACE|^[[:space:]]+[a-z0-9_]+_test\.go:[0-9]+:' "$log"
		sed -n '/ runs green, /,$p' "$log" # jepsen says it itself
	} | cut -c1-300 | tail -n 25
}
finish() {
	local row
	printf '\n%-14s %8s  %s\n' part seconds result
	for row in "${table[@]}"; do
		# shellcheck disable=SC2086 # three words
		printf '%-14s %8d  %s\n' $row
	done
	printf '%-14s %8d\n' total $((SECONDS - started))
}

# The tests run the programs that were built once, not once more for each package.
export ZERO_BIN="$PWD/bin"
for part in "${parts[@]}"; do
	printf '\n=== %s\n' "$part"
	begin=$SECONDS
	ONCE=1 make --no-print-directory "$part" 2>&1 | tee "$log"
	code=${PIPESTATUS[0]}
	if [ $code -ne 0 ]; then
		table+=("$part $((SECONDS - begin)) FAILED")
		finish
		why "$part"
		exit "$code"
	fi
	table+=("$part $((SECONDS - begin)) ok")
done
finish
