#!/bin/sh
# Installs, through apt, the packages morbench is built, tested and plotted with; what `make deps` runs. Asks nothing.
#
#   deps.sh [--check] [--peers] [--quiet]
#       --check   only tells what is missing
#       --peers   adds what scripts/peers and the tests in Python need
#       --quiet   says nothing when nothing is to be done
#
# A line of the lists is one need: the first name is what gets installed, any of the others serves as well.
# Exit status: 0 all there, 1 bad usage, or --check and something is missing, 2 the machine cannot (no apt, no root, apt failed).
set -u

required='gcc build-essential
libc6-dev
make
pkg-config pkgconf
libopenblas-openmp-dev
libjansson-dev
libcmocka-dev
libjpeg62-turbo-dev libjpeg-turbo8-dev libjpeg-dev
zlib1g-dev
libssl-dev
libxxhash-dev
librandom123-dev
gnuplot-nox gnuplot-qt gnuplot-x11'

# Left out at build, and said to be absent at run time, where the distribution has no such package.
# The last two only serve tests, which skip without them.
optional='curl wget
libpapi-dev
libpng-dev
dataset-fashion-mnist
python3-numpy
python3-jsonschema'

peers='python3-torch
python3-pil
python3-scipy'

say() { printf 'deps: %s\n' "$*"; }

usage() {
    echo "usage: deps.sh [--check] [--peers] [--quiet]" >&2
    exit 1
}

installed() { dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

available() { apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'; }

# missing LIST: the needs of which no name is installed, one a line
missing() {
    printf '%s\n' "$1" | while read -r need; do
        for package in $need; do
            if installed "$package"; then continue 2; fi
        done
        printf '%s\n' "$need"
    done
}

# choose LIST: for each need, the first name that apt knows; "-NEED" where it knows none
choose() {
    printf '%s\n' "$1" | while read -r need; do
        [ -n "$need" ] || continue
        for package in $need; do
            if available "$package"; then
                printf '%s\n' "$package"
                continue 2
            fi
        done
        printf '%s\n' "-$need"
    done
}

one_line() { printf '%s\n' "$1" | tr '\n' ' ' | sed 's/ *$//'; }

# Two OpenBLAS builds side by side are allowed, and the system's choice between them is not ours to change.
openblas_note() {
    command -v update-alternatives > /dev/null || return 0
    name=$(update-alternatives --get-selections 2>/dev/null | sed -n 's/^\(libopenblas\.so\.0-[^ ]*\) .*/\1/p' | head -n 1)
    [ -n "$name" ] || return 0
    value=$(update-alternatives --query "$name" 2>/dev/null | sed -n 's/^Value: //p')
    case $value in
    *openblas-openmp*) ;;
    *) say "note: this system's OpenBLAS is $value; morbench needs the OpenMP build beside it and leaves the choice as it is" ;;
    esac
}

nothing_to_do() {
    [ "$quiet" = yes ] || say "nothing to install"
    [ "$quiet" = yes ] || openblas_note
    exit 0
}

only_check=no quiet=no
for argument in "$@"; do
    case $argument in
    --check) only_check=yes ;;
    --quiet) quiet=yes ;;
    --peers) required="$required
$peers" ;;
    *) usage ;;
    esac
done

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
    say "no apt on this system. Install what these Debian packages hold, then run make:"
    say "needed:   $(one_line "$(printf '%s\n' "$required" | cut -d' ' -f1)")"
    say "optional: $(one_line "$optional")"
    exit 2
fi

lacking=$(missing "$required")
lacking_optional=$(missing "$optional")
[ -n "$lacking$lacking_optional" ] || nothing_to_do
# What only lacks optional packages has been offered them before: --quiet, which runs often, lets it be.
[ -n "$lacking" ] || [ "$quiet" = no ] || nothing_to_do
if [ "$only_check" = yes ]; then
    [ -z "$lacking" ] || say "missing: $(one_line "$(printf '%s\n' "$lacking" | cut -d' ' -f1)")"
    [ -z "$lacking_optional" ] || say "missing, optional: $(one_line "$lacking_optional")"
    [ -z "$lacking" ]
    exit
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo > /dev/null; then
        say "neither root nor sudo. As root:" \
            "apt-get install $(one_line "$(printf '%s\n' "$lacking" "$lacking_optional" | cut -d' ' -f1)")"
        exit 2
    fi
    as_root=sudo
    [ -t 0 ] || as_root='sudo -n'          # nobody there to type a password: fail rather than wait
fi

say "something is missing: reading the package lists (apt-get update${as_root:+, with sudo})"
# shellcheck disable=SC2086  # as_root is empty or one or two words of ours
if ! $as_root apt-get update -qq; then
    say "apt-get update failed; going on with the lists there are"
fi

chosen=$(choose "$lacking")
unknown=$(printf '%s\n' "$chosen" | sed -n 's/^-//p')
if [ -n "$unknown" ]; then
    say "apt knows none of these, which morbench needs: $(one_line "$unknown")"
    exit 2
fi
chosen_optional=$(choose "$lacking_optional")
unknown=$(printf '%s\n' "$chosen_optional" | sed -n 's/^-//p')
[ -z "$unknown" ] || say "not in this distribution, done without: $(one_line "$unknown")"
packages=$(printf '%s\n' "$chosen" "$chosen_optional" | sed '/^-/d;/^$/d')
[ -n "$packages" ] || nothing_to_do

say "installing${as_root:+ with sudo}: $(one_line "$packages")"
# shellcheck disable=SC2086
if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; then
    say "apt-get install failed"
    exit 2
fi
still=$(missing "$required")
if [ -n "$still" ]; then
    say "apt-get reported success, yet missing: $(one_line "$still")"
    exit 2
fi
say "done"
openblas_note
