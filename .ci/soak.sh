#!/usr/bin/env bash
# Runs the demo, the end-to-end tests, a thousand simulations and ten minutes of chaos again and again, for DURATION
# seconds (or 90s, 30m, 8h), until one fails. What the failed round left is kept.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

duration=${1:-1h}
case $duration in
*h) limit=$((${duration%h} * 3600)) ;;
*m) limit=$((${duration%m} * 60)) ;;
*) limit=$((${duration%s})) ;;
esac
[ "$limit" -gt 0 ] || {
	echo "usage: .ci/soak.sh DURATION, as 90s, 30m or 8h" >&2
	exit 64
}
export ZERO_BIN="$PWD/bin" ZERO_KEEP_FAILED=1
round=0
while [ $SECONDS -lt "$limit" ]; do
	round=$((round + 1))
	printf 'soak: round %d, %d of %d s\n' $round $SECONDS "$limit"
	if ! {
		bin/zerodemo -bin bin -once -report demo-report.json &&
			go test -count=1 -shuffle=on ./jepsen/e2e/... &&
			ZERO_SIM_SEEDS=1000 go test -count=1 -timeout 30m ./jepsen/sim &&
			bin/zerojepsen -bin bin -soak 10m
	}; then
		printf 'soak: FAILED in round %d after %d s\n' $round $SECONDS >&2
		exit 1
	fi
done
printf 'soak: %d rounds in %d s without a failure\n' $round $SECONDS
