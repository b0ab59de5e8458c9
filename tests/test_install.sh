#!/bin/bash
# What is installed: completions and manual page that know every command and option, a program that finds its files away from the source
# tree, and nothing left after uninstall.
#   tests/test_install.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_install.sh path/to/morbench}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MORBENCH_DEBUG=0 NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE MAKEFLAGS MAKELEVEL
# shellcheck source=tests/claims.sh
. tests/claims.sh

"$morbench" man >"$dir/man"
"$morbench" completion bash >"$dir/bash"
"$morbench" completion zsh >"$dir/zsh"
commands=$("$morbench" help | sed -n 's/^  \([a-z]*\)  *.*/\1/p' | grep -vx help)

# ---- every command and option, from the text that help prints ----
# shellcheck disable=SC2086  # "data list" are two words
options_of() { "$morbench" $1 --help | sed -n '/^Of every/q; s/^  --\([a-z-]*\).*/\1/p'; }
# complete WORDS... : what bash offers for the last of them
complete_words() {
    bash -c 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _morbench; printf "%s\n" "${COMPREPLY[@]}"' "$dir/bash" "$@"
}
offers() { # option, words... : with nothing typed yet
    local option=$1
    shift
    complete_words "$@" | grep -qx -e "$option"
}
section_has() { # command, option: its section of the page, hyphens escaped as roff wants them
    awk -v section=".SS morbench $1" '$0 == section {on = 1; next} /^\.S[SH]/ {on = 0} on' "$dir/man" | grep -qF "\\-\\-${2//-/\\-}"
}
missing() { # prints what is nowhere: command or option, and where it lacks
    local command option
    for command in $commands "data list" "data fetch"; do
        grep -qF ".SS morbench ${command//-/\\-}" "$dir/man" || echo "man: $command"
        for option in $(options_of "$command"); do
            section_has "$command" "$option" || echo "man: $command --$option"
            offers "--$option" morbench $command "--${option%?}" || echo "bash: $command --$option"
            case $command in *\ *) ;; *) awk -v c="    $command) _arguments" 'index($0, c) == 1 {on = 1} on; on && /;;$/ {on = 0}' "$dir/zsh" | grep -qF -e "'--${option}[" || echo "zsh: $command --$option" ;; esac
        done
        case $command in *\ *) continue ;; esac
        offers "$command" morbench "${command%?}" || echo "bash: $command"
        grep -qF "'$command:" "$dir/zsh" || echo "zsh: $command"
    done
}
found=$(for c in $commands; do options_of "$c"; done | wc -l)
holds "help names commands ($(wc -w <<<"$commands")) and options ($found) to look for" test "$found" -gt 60
missing >"$dir/missing"
holds "each is in the manual page and in both completions: $(head -n 3 "$dir/missing" | tr '\n' ' ')" test ! -s "$dir/missing"
cp "$dir/man" "$dir/man.whole"
sed -i '/^\.SS morbench peaks/,/^\.SS/d' "$dir/man"
missing >"$dir/missing"
holds "this check notices a command that is not there" grep -q "man: peaks" "$dir/missing"
cp "$dir/man.whole" "$dir/man"
for option in threads backend blas-core pin; do
    section_has "" "$option" || grep -qF "\\-\\-${option//-/\\-}" "$dir/man" && offers "--$option" morbench eval "--${option%?}" && say ok "--$option of every command" || say wrong "--$option of every command"
done

# ---- values ----
holds "bash offers the presets" offers vit_d96_l6_p4_28 morbench eval --preset vit_d96
holds "after a comma too" offers vit_d64_l6_p4_28,vit_d96_l6_p4_28 morbench bench --preset vit_d64_l6_p4_28,vit_d96
holds "words of a choice" offers standard morbench bench --profile s
holds "back ends" offers packed morbench --backend p
holds "data sets" offers fashion_mnist morbench eval --data fash
holds "sub-commands" offers fetch morbench data f
holds "operands" offers zsh morbench completion z
holds "commands after help" offers validate morbench help v
mkdir -p "$dir/files/sub"
touch "$dir/files/a.json"
holds "files where a file is wanted" offers "$dir/files/a.json" morbench eval --config "$dir/files/a"
holds "files of operands" offers "$dir/files/a.json" morbench validate "$dir/files/a"
holds "only directories where one is wanted" bash -c '[ "$1" = "$0/files/sub" ]' "$dir" "$(complete_words morbench eval --out "$dir/files/")"
holds "bash takes the script without complaint" bash -n "$dir/bash"
if command -v zsh >/dev/null; then holds "so does zsh" zsh -n "$dir/zsh"; fi
if command -v groff >/dev/null; then
    groff -man -Tutf8 -ww -P-cbou "$dir/man" >"$dir/page" 2>"$dir/complaints"
    holds "groff sets the page without a warning: $(head -n 1 "$dir/complaints")" test ! -s "$dir/complaints"
    holds "and it shows what help shows" grep -q -e "--depth-maps DIR" "$dir/page"
fi
refused "another shell" 1 "fish: must be bash or zsh" "$morbench" completion fish

# ---- installed, and away from here ----
make_it() { make --no-print-directory -s BINARY="$morbench" "$@"; }
prefix="$dir/with blank/prefix"
holds "what make install does" make_it install-files PREFIX="$prefix"
installed=$prefix/bin/morbench
holds "the program runs from there" bash -c 'cd / && "$0" --version' "$installed"
(cd "$dir" && "$installed" list experiments) >"$dir/out" 2>&1
holds "it finds the experiments that came with it" grep -q "^vit_d96_l6_p4_28 " "$dir/out"
(cd "$dir" && "$installed" validate "$prefix"/share/morbench/experiments/*.json) >"$dir/out" 2>&1
holds "which are good" bash -c '! grep -v "^ok: " "$0"' "$dir/out"
refused "it finds the script that fetches data" 1 "data set was not fetched|cannot be fetched" "$installed" data fetch nothing
(cd "$dir" && "$installed" bench --preset vit_d64_l6_p4_28 --profile smoke --processes 2 --samples 2 --threads 1 --no-counters --quiet --out results && "$installed" report results) >"$dir/out" 2>&1
holds "it measures and reports" test -s "$dir/results/table.md"
cp -r results/four_models/eval "$dir/trained"           # a smoke timing on a busy machine may be INVALID, and is then in no figure
(cd "$dir" && "$installed" report trained) >"$dir/out" 2>&1
if command -v gnuplot >/dev/null; then holds "with plots" bash -c 'ls "$0"/trained/plots/*.svg' "$dir"; fi
holds "page and completions lie where man, bash and zsh look" bash -c 'cmp "$0/man" "$1/share/man/man1/morbench.1" && cmp "$0/bash" "$1/share/bash-completion/completions/morbench" && [ -s "$1/share/zsh/vendor-completions/_morbench" ]' "$dir" "$prefix"
holds "the converter of checkpoints is there" test -s "$prefix/share/morbench/scripts/convert_checkpoint.py"
touch "$prefix/bin/another" "$prefix/share/man/man1/another.1"
holds "make uninstall" make_it uninstall PREFIX="$prefix"
holds "leaves what is not ours, and nothing of ours" test "$(cd "$prefix" && find . -type f | sort | tr '\n' ' ')" = "./bin/another ./share/man/man1/another.1 "
holds "DESTDIR goes before the prefix" make_it install-files DESTDIR="$dir/stage" PREFIX=/usr
holds "and everything is below it" test -x "$dir/stage/usr/bin/morbench" -a -s "$dir/stage/usr/share/man/man1/morbench.1"

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
