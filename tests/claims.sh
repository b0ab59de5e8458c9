# shellcheck shell=bash
# For shell tests to source: claims said one a line and counted. Needs $dir, a folder for what commands print.
n=0 failed=0

say() { # verdict claim
    n=$((n + 1))
    if [ "$1" = ok ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=$((failed + 1)); fi
}
holds() { # claim, command...
    local claim=$1
    shift
    if "$@" >"$dir/said" 2>&1; then say ok "$claim"; else say wrong "$claim: $(tail -n 1 "$dir/said")"; fi
}
# claim, status, pattern that one line on stderr holds, command...
refused() {
    local claim=$1 status=$2 pattern=$3 got
    shift 3
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    if [ "$got" -ne "$status" ]; then say wrong "$claim: exit status $got, not $status: $(head -n 1 "$dir/err")"
    elif ! grep -qE -e "$pattern" "$dir/err"; then say wrong "$claim: stderr is '$(head -n 1 "$dir/err")'"
    elif [ "$(wc -l <"$dir/err")" -ne 1 ]; then say wrong "$claim: $(wc -l <"$dir/err") lines on stderr"
    else say ok "$claim"; fi
}
# Every run.json below the folders fits the published schema; says so as one claim. Without python3-jsonschema: nothing.
fits_schema() {
    local python
    for python in /usr/bin/python3 python3; do "$python" -c 'import jsonschema' 2>/dev/null && break; python=; done
    [ -n "$python" ] || return 0
    holds "every run.json written fits the schema" "$python" tests/fits_schema.py results/schema/run.schema.json "$@"
}
