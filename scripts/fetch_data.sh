#!/bin/sh
# Downloads a data set, checks every file, unpacks archives, and puts the result in place in one step: DIR appears whole or not
# at all. Run by `morbench data fetch`; needs curl or wget, and tar for archives.
#
#   fetch_data.sh NAME DIR CHECKSUMS [URL]
#       NAME       of the first column of CHECKSUMS (scripts/data_checksums.txt)
#       DIR        what will hold the files; must not exist
#       URL        a folder that holds the same files as the one named in CHECKSUMS
#
# Exit status: 0 done, 1 bad usage, 2 a tool is missing, 5 download, check or disk failed, 130 and 143 interrupted.
set -eu
LC_ALL=C
export LC_ALL

fail() { status=$1; shift; printf 'data fetch: %s\n' "$*" >&2; exit "$status"; }

case $# in
    3|4) ;;
    *) fail 1 'usage: fetch_data.sh NAME DIR CHECKSUMS [URL]' ;;
esac
name=$1 dir=${2%/} checksums=$3 from=${4-}

[ -r "$checksums" ] || fail 1 "cannot read $checksums"
case $name in
    *[!a-z0-9_]*|'') fail 1 "$name: no such set in $checksums" ;;
esac
case $from in
    ''|http://*|https://*) ;;
    *) fail 1 "$from: must begin with http:// or https://" ;;
esac
case $dir in
    /*) ;;
    *) dir=./$dir ;;
esac
grep -q "^$name " "$checksums" || fail 1 "$name: no such set in $checksums"
[ ! -e "$dir" ] || fail 1 "$dir is there already; remove it to fetch anew"

if command -v curl >/dev/null; then
    # a server may neither redirect to another protocol nor send without end nor stall
    download() {
        curl --fail --silent --show-error --location --proto '=http,https' --proto-redir '=http,https' --max-filesize 2000000000 \
             --retry 2 --connect-timeout 20 --speed-limit 1000 --speed-time 60 --output "$1" -- "$2"
    }
elif command -v wget >/dev/null; then
    download() { wget --quiet --tries=3 --timeout=60 --output-document="$1" -- "$2"; }
else
    fail 2 'neither curl nor wget is installed'
fi

parent=$(dirname -- "$dir")
mkdir -p -- "$parent" || fail 5 "cannot make $parent"
part=$(mktemp -d -- "$parent/.fetch-$name.XXXXXX") || fail 5 "cannot write in $parent"
trap 'rm -rf -- "$part"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$part/down" "$part/set"

unpack() {
    # names that leave the folder, and anything but files and folders, have no place in a data set
    tar -tzf "$1" >"$part/members" 2>"$part/tar_says" || fail 5 "$2: not a gzipped tar archive"
    ! grep -Eq '^/|(^|/)\.\.(/|$)' "$part/members" || fail 5 "$2: holds paths that leave the archive"
    tar -xzf "$1" -C "$part/set" --strip-components=1 --no-same-owner --no-same-permissions || fail 5 "$2: cannot be unpacked"
    [ -z "$(find "$part/set" ! -type f ! -type d)" ] || fail 5 "$2: holds links or devices"
}

grep "^$name " "$checksums" >"$part/wanted"
while read -r _ algorithm sum file url; do
    case $algorithm in
        md5|sha256) ;;
        *) fail 1 "$checksums: checksum must be md5 or sha256, got $algorithm" ;;
    esac
    case $file in
        */*|.*|-*|'') fail 1 "$checksums: bad file name '$file'" ;;
    esac
    printf 'data fetch: %s/%s\n' "${from:-$url}" "$file" >&2
    download "$part/down/$file" "${from:-$url}/$file" || fail 5 "$file: cannot be downloaded"
    printf '%s  %s\n' "$sum" "$part/down/$file" | "${algorithm}sum" --check --status ||
        fail 5 "$file: $algorithm is not $sum; damaged on the way, or not the original"
    case $file in
        *.tar.gz|*.tgz) unpack "$part/down/$file" "$file" ;;
        *) mv -- "$part/down/$file" "$part/set/$file" ;;
    esac
done <"$part/wanted"

chmod -R u+rwX,go+rX "$part/set"
sync -- "$part/set" 2>/dev/null || sync
mv -T -- "$part/set" "$dir" || fail 5 "cannot put the set at $dir"
