#!/usr/bin/env bash
# The checks that run nothing of zero: form, vet, staticcheck, module files, shell syntax. All are run, even after a failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

failed=0
check() {
	local what=$1 begin=$SECONDS
	shift
	if "$@"; then
		printf 'verify: %-24s ok (%d s)\n' "$what" $((SECONDS - begin))
	else
		printf 'verify: %-24s FAILED\n' "$what"
		failed=1
	fi
}

formatted() {
	local files
	files=$(gofmt -l .ci agent cli cluster fsm jepsen proxy transport) || return 1
	[ -z "$files" ] && return 0
	printf 'not formatted (make fmt does it):\n%s\n' "$files"
	return 1
}
tools_tidy() { (cd jepsen/tools && go mod tidy -diff); }
shell_syntax() {
	local script
	for script in .ci/run .ci/*.sh; do bash -n "$script" || return 1; done
}

check gofmt formatted
check 'go vet' go vet ./...
check 'go vet -tags nohold' go vet -tags nohold ./proxy/... ./cli/zeroproxy/...
check 'go vet -tags nolease' go vet -tags nolease ./proxy/... ./cli/zeroproxy/...
check 'go vet -tags control' go vet -tags control ./fsm/... ./cluster/... ./agent/... ./proxy/... ./cli/...
check 'go vet -tags faultpoint' go vet -tags faultpoint ./transport/faultpoint/... ./cluster/keeper/... ./agent/... ./proxy/... ./cli/...
check staticcheck bin/tools/staticcheck ./...
check 'go mod tidy' go mod tidy -diff
check 'go mod tidy (tools)' tools_tidy
check 'bash -n' shell_syntax
exit $failed
