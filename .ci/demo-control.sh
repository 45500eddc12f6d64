#!/usr/bin/env bash
# The demo's negative control: with a zeroproxy that was built without the hold (-tags nohold), clients must see errors
# during a switch, and the demo must say so; two switches are enough. If it passes, it measures nothing. bin/ holds the
# programs and the demo, bin/control the same with the other zeroproxy.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

report=$(mktemp) log=$(mktemp)
trap 'rm -f "$report" "$log"' EXIT
rm -f "$report" # the demo must write it anew

# The demo keeps what a failed run leaves; this failure is wanted.
KEEP=${KEEP:-0} timeout --signal=INT --kill-after=30 300 bin/zerodemo -bin bin/control -switches 2 -report "$report" >"$log" 2>&1
code=$?
fail() {
	tail -n 40 "$log"
	echo "demo-control: FAILED: $*" >&2
	exit 1
}
[ $code -ne 124 ] && [ $code -ne 137 ] || fail "the demo did not end within 300 s"
[ -s "$report" ] || fail "the demo ended with $code and without a report"
numbers=$(python3 - "$report" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
print(*(r[k] for k in ("client_errors", "rows_acknowledged", "rows_lost", "rows_doubled")))
PY
) || fail "the demo's report is not what it should be: $(cat "$report")"
read -r errors acknowledged lost doubled <<<"$numbers"
[ "$acknowledged" -gt 0 ] || fail "no write was acknowledged, so there was nothing to see"
[ "$code" -ne 0 ] || fail "the demo passed with a zeroproxy that holds nothing: it does not see what clients see"
[ "$errors" -gt 0 ] || fail "the demo failed (exit $code), but not because of client errors: $(cat "$report")"
echo "demo-control: ok: without the hold the demo fails, as it must: $errors client errors, of $acknowledged acknowledged" \
	"rows $lost lost and $doubled doubled"
