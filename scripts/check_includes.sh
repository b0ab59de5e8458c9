#!/bin/sh
# Which folder may include which, and which file may include a third-party header.
#
#   check_includes.sh [ROOT]        reads every *.c and *.h of engine models baselines harness below ROOT (default: the project)
#   check_includes.sh --self-test   shows, in a temporary tree, that each rule catches what it is for
#
# Arrows: engine -> engine; models -> engine models; baselines -> engine models baselines; harness -> all four.
# Project headers are written in quotes from the root. cblas.h, jansson.h and papi.h have one place; jpeglib.h and png.h may
# have any, but one each. Complaints are FILE:LINE: MESSAGE. Exit status 0 clean, 1 complaints or bad usage.
set -u

check() (
    cd "$1" || exit 1
    folders=
    for folder in engine models baselines harness; do
        [ -d "$folder" ] && folders="$folders $folder"
    done
    if [ -z "$folders" ]; then
        echo "check_includes: $1: none of the folders engine models baselines harness" >&2
        exit 1
    fi
    # shellcheck disable=SC2086  # the list is of our own four words
    find $folders -type f \( -name '*.c' -o -name '*.h' \) | LC_ALL=C sort | awk '
        BEGIN {
            may["engine"]    = " engine "
            may["models"]    = " engine models "
            may["baselines"] = " engine models baselines "
            may["harness"]   = " engine models baselines harness "
            place["cblas.h"]   = "^engine/backends/openblas\\.c$"
            place["jansson.h"] = "^engine/json\\.h$"
            place["papi.h"]    = "^harness/measure/counters[^/]*\\.c$"
            once["jpeglib.h"] = once["png.h"] = 1
        }
        function complain(text) { printf "%s:%d: %s\n", file, line, text; n_bad++ }
        function check_include(rest,    header, quoted, base, mine, theirs) {
            if (rest !~ /^("[^"]*"|<[^>]*>)/) {
                complain("an include that names no file: " rest)
                return
            }
            quoted = substr(rest, 1, 1) == "\""
            header = substr(rest, 2)
            sub(/[">].*/, "", header)
            base = header
            sub(/.*\//, "", base)
            mine = theirs = file
            sub(/\/.*/, "", mine)
            theirs = header
            sub(/\/.*/, "", theirs)
            n_includes++
            if (base in place) {
                if (file !~ place[base])
                    complain(base " belongs in " place_text(base) " alone")
            } else if (base in once) {
                if (base in seen && seen[base] != file)
                    complain(base " is already included by " seen[base])
                else
                    seen[base] = file
            } else if (theirs != header && theirs in may) {
                if (!quoted)
                    complain("<" header ">: a header of the project is included in quotes")
                if (header ~ /(^|\/)\.\.?(\/|$)/)
                    complain("\"" header "\" is not written from the root")
                if (index(may[mine], " " theirs " ") == 0)
                    complain(mine " may not include " theirs ": \"" header "\"")
            } else if (quoted) {
                complain("\"" header "\" is not written from the root")
            } else if (header ~ /(^|\/)\.\.?\//) {
                complain("<" header "> is not written from the root")
            }
        }
        function place_text(base,    text) {
            text = place[base]
            gsub(/[\\^$]/, "", text)
            sub(/\[\/\]\*/, "*", text)
            return text
        }
        {
            file = $0
            line = 0
            n_files++
            while ((got = (getline text < file)) > 0) {
                line++
                if (text ~ /^[ \t]*#[ \t]*include/) {
                    sub(/^[ \t]*#[ \t]*include(_next)?[ \t]*/, "", text)
                    check_include(text)
                }
            }
            if (got < 0)
                complain("cannot be read")
            close(file)
        }
        END {
            if (n_files == 0) {
                print "check_includes: no source files" > "/dev/stderr"
                exit 1
            }
            if (n_bad > 0)
                exit 1
            printf "check_includes: %d includes in %d files, all as they should be\n", n_includes, n_files
        }'
)

n_failed=0

# write FILE LINE...: a file of the temporary tree
write() {
    file=$tree/$1
    shift
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$@" > "$file"
}

# catches FILE:LINE WORDS INCLUDE FILE: with INCLUDE as second line of FILE, the check fails and says exactly FILE:LINE
catches() {
    write "$4" '/* line one */' "$3"
    if said=$(check "$tree" 2>&1); then
        echo "self-test: $3 in $4 was not noticed" >&2
        n_failed=$((n_failed + 1))
    elif ! printf '%s\n' "$said" | grep -F "$1: " | grep -qF -- "$2" || [ "$(printf '%s\n' "$said" | wc -l)" -ne 1 ]; then
        printf 'self-test: %s in %s gave:\n%s\n' "$3" "$4" "$said" >&2
        n_failed=$((n_failed + 1))
    fi
    rm "$tree/$4"
}

passes() {
    if ! said=$(check "$tree" 2>&1); then
        printf 'self-test: %s, yet:\n%s\n' "$1" "$said" >&2
        n_failed=$((n_failed + 1))
    fi
}

self_test() {
    tree=$(mktemp -d) || exit 1
    trap 'rm -rf "$tree"' EXIT
    if check "$tree" > /dev/null 2>&1; then
        echo "self-test: an empty tree passed" >&2
        n_failed=$((n_failed + 1))
    fi
    write engine/ops/gelu.c '#include "engine/ops.h"' '#include <math.h>' '#  include "engine/ops/ops.def"'
    write engine/backends/openblas.c '#include <cblas.h>'
    write engine/json.h '#include <jansson.h>'
    write models/vit.c '#include "engine/ops.h" /* why */' '#include "models/vit.h"'
    write baselines/tiny_vit.c '#include "models/vit.h"' '#include "engine/ops.h"' '#include "baselines/tiny_vit.h"'
    write harness/measure/counters_papi.c '#include <papi.h>' '#include "baselines/tiny_vit.h"' '#include <sys/types.h>'
    write harness/data/images.c '#include <jpeglib.h>' '#include <png.h>' '/* says #include "models/no.h" in words */'
    passes "a tree without faults"
    catches engine/bad.c:2      'engine may not include models'         '#include "models/vit.h"'         engine/bad.c
    catches engine/bad.h:2      'engine may not include harness'        '#include "harness/x.h"'          engine/bad.h
    catches models/bad.c:2      'models may not include baselines'      '#include "baselines/tiny_vit.h"' models/bad.c
    catches baselines/bad.c:2   'baselines may not include harness'     ' # include "harness/x.h"'        baselines/bad.c
    catches engine/ops/bad.c:2  'not written from the root'             '#include "../error.h"'           engine/ops/bad.c
    catches engine/bad.c:2      'not written from the root'             '#include "error.h"'              engine/bad.c
    catches engine/bad.c:2      'not written from the root'             '#include "engine/../models/x.h"' engine/bad.c
    catches models/bad.c:2      'in quotes'                             '#include <engine/ops.h>'         models/bad.c
    catches engine/bad.c:2      'cblas.h belongs in engine/backends/openblas.c alone' '#include <cblas.h>' engine/bad.c
    catches engine/bad.c:2      'cblas.h belongs'                       '#include <openblas/cblas.h>'     engine/bad.c
    catches harness/bad.c:2     'jansson.h belongs in engine/json.h alone' '#include <jansson.h>'         harness/bad.c
    catches engine/json.c:2     'jansson.h belongs'                     '#include <jansson.h>'            engine/json.c
    catches harness/clock.c:2   'papi.h belongs in harness/measure/counters*.c alone' '#include "papi.h"'         harness/clock.c
    catches harness/zz.c:2      'jpeglib.h is already included by harness/data/images.c' '#include <jpeglib.h>' harness/zz.c
    catches harness/zz.c:2      'png.h is already included by harness/data/images.c' '#include <png.h>'   harness/zz.c
    catches engine/bad.c:2      'names no file'                         '#include HEADER'                 engine/bad.c
    passes "the tree after the faults were taken out"
    if [ "$n_failed" -ne 0 ]; then
        echo "check_includes: self-test: $n_failed failed" >&2
        exit 1
    fi
    echo "check_includes: self-test passed"
}

case ${1-} in
--self-test) self_test ;;
-*)          echo "usage: check_includes.sh [ROOT | --self-test]" >&2; exit 1 ;;
*)           check "${1:-$(dirname "$0")/..}" ;;
esac
