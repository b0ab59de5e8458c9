#!/bin/sh
# scripts/fetch_data.sh against a server on 127.0.0.1 that offers small sets, good and bad.
set -u
cd "$(dirname "$0")/.." || exit 1
python=$(command -v python3) || { echo "skipped: no python3"; exit 77; }
command -v curl >/dev/null || command -v wget >/dev/null || { echo "skipped: neither curl nor wget"; exit 77; }
work=$(mktemp -d) || exit 1
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
failures=0

# claim NAME WANTED_STATUS WANTED_WORDS COMMAND...: the command ends so, and says so on stderr
claim() {
    what=$1 status=$2 words=$3
    shift 3
    timeout 60 "$@" >"$work/out" 2>"$work/err"
    got=$?
    if [ "$got" -eq "$status" ] && grep -qF -- "$words" "$work/err"; then
        echo "ok   $what"
    else
        echo "FAIL $what: exit $got, wanted $status with '$words'; said: $(cat "$work/err")"
        failures=$((failures + 1))
    fi
}
check() {
    what=$1
    shift
    if "$@"; then echo "ok   $what"; else echo "FAIL $what"; failures=$((failures + 1)); fi
}
nothing_left() { [ -z "$(find "$work/to" -mindepth 1 2>/dev/null)" ]; }

mkdir "$work/web" "$work/web/archive" "$work/to"
echo one >"$work/web/one.gz"
echo two >"$work/web/two.gz"
echo batch >"$work/web/archive/batch.bin"
tar -czf "$work/web/good.tar.gz" -C "$work/web" archive
ln -s /etc/passwd "$work/web/archive/link.bin"
tar -czf "$work/web/links.tar.gz" -C "$work/web" archive
tar -czPf "$work/web/climbs.tar.gz" -C "$work/web/archive" ../one.gz
echo 'no archive' >"$work/web/noise.tar.gz"
sum() { md5sum "$work/web/$1" | cut -d' ' -f1; }

"$python" -u -m http.server 0 --bind 127.0.0.1 --directory "$work/web" >"$work/server" 2>&1 &
server=$!
port=
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/server")
    [ -n "$port" ] && break
    sleep 0.25
done
[ -n "$port" ] || { echo "FAIL the server did not start: $(cat "$work/server")"; exit 1; }
url=http://127.0.0.1:$port

cat >"$work/sums" <<END
pair md5 $(sum one.gz) one.gz $url
pair sha256 $(sha256sum "$work/web/two.gz" | cut -d' ' -f1) two.gz http://127.0.0.1:1
tarred md5 $(sum good.tar.gz) good.tar.gz $url
wrong md5 $(sum one.gz) one.gz $url
wrong md5 00000000000000000000000000000000 two.gz $url
absent md5 $(sum one.gz) absent.gz $url
links md5 $(sum links.tar.gz) links.tar.gz $url
climbs md5 $(sum climbs.tar.gz) climbs.tar.gz $url
noise md5 $(sum noise.tar.gz) noise.tar.gz $url
sneaky md5 $(sum one.gz) ../one.gz $url
odd crc $(sum one.gz) one.gz $url
END
fetch() { name=$1; shift; claim "$@" sh scripts/fetch_data.sh "$name" "$work/to/$name" "$work/sums"; }

claim 'files come from the folder named, checked and kept as they are' 0 "$url/two.gz" \
    sh scripts/fetch_data.sh pair "$work/to/deep/pair" "$work/sums" "$url"
check 'the content is that of the server' cmp -s "$work/web/two.gz" "$work/to/deep/pair/two.gz"
claim 'what is there already is not touched' 1 'is there already' sh scripts/fetch_data.sh pair "$work/to/deep/pair" "$work/sums" "$url"
check 'no temporary folder stays' test "$(ls -A "$work/to/deep")" = pair
fetch tarred 'an archive is unpacked without its outer folder' 0 'good.tar.gz'
check 'its files are there' cmp -s "$work/web/archive/batch.bin" "$work/to/tarred/batch.bin"
rm -rf "$work/to/deep" "$work/to/tarred"

fetch wrong  'a wrong checksum stops it'                5 'two.gz: md5 is not 0000'
fetch absent 'a file that is not on the server'         5 'absent.gz: cannot be downloaded'
fetch links  'links in an archive'                      5 'holds links or devices'
fetch climbs 'paths that leave the archive'             5 'holds paths that leave the archive'
fetch noise  'what is no archive'                       5 'not a gzipped tar archive'
fetch sneaky 'a checksum file with a path in it'        1 "bad file name '../one.gz'"
fetch odd    'an unknown kind of checksum'              1 'must be md5 or sha256, got crc'
fetch other  'an unknown set'                           1 'no such set'
claim 'no server' 5 'cannot be downloaded' sh scripts/fetch_data.sh pair "$work/to/pair" "$work/sums" http://127.0.0.1:1
claim 'local files are no source' 1 'must begin with http' sh scripts/fetch_data.sh pair "$work/to/pair" "$work/sums" file:///etc
claim 'too few arguments' 1 'usage' sh scripts/fetch_data.sh pair
check 'after all these failures nothing is left behind' nothing_left

# the program itself, when it is built: from the server through the script to a set that can be read
binary=${BINARY:-${BUILD:+$BUILD/morbench}}
if [ -n "$binary" ] && [ -x "$binary" ]; then
    "$python" - "$work/web" <<'END'
import gzip, struct, sys
for split in ('train', 't10k'):
    for kind, head, n in (('images-idx3', (3, 6, 28, 28), 6 * 784), ('labels-idx1', (1, 6), 6)):
        with gzip.open(f'{sys.argv[1]}/{split}-{kind}-ubyte.gz', 'wb') as f:
            f.write(struct.pack(f'>HBB{len(head) - 1}I', 0, 8, *head) + bytes(i % 7 for i in range(n)))
END
    mkdir "$work/scripts"
    cp scripts/fetch_data.sh "$work/scripts/"
    for f in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
        echo "fashion_mnist md5 $(sum $f-ubyte.gz) $f-ubyte.gz $url"
    done >"$work/scripts/data_checksums.txt"
    MORBENCH_SCRIPTS=$work/scripts
    export MORBENCH_SCRIPTS
    claim 'the program fetches' 0 '' "$binary" data fetch fashion_mnist --to "$work/to"
    check 'and says what it got' grep -q 'fashion_mnist test: 6 images' "$work/out"
    MORBENCH_SCRIPTS=$work/scripts "$binary" data fetch fashion_mnist --to "$work/to2" --json >"$work/json" 2>/dev/null
    check 'as JSON where it is asked for' "$python" -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(d["name"] != "fashion_mnist" or [s["images_count"] for s in d["splits"]] != [6, 6])' "$work/json"
    check 'which validate knows' "$binary" validate "$work/json"
    claim 'the program passes failure on' 1 'not fetched' "$binary" data fetch fashion_mnist --to "$work/to"
    claim 'a set without files cannot be fetched' 1 'cannot be fetched' "$binary" data fetch synthetic
    MORBENCH_DATA=$work/to "$binary" data list --json --digest >"$work/json"
    check 'the list shows it present, and not the known one' "$python" - "$work/json" <<'END'
import json, sys
found = {d['name']: d for d in json.load(open(sys.argv[1]))['datasets']}
f = found['fashion_mnist']
ok = f['state'] == 'present' and f['train']['images_count'] == 6 and f['train']['sha256_as_known'] is False
sys.exit(0 if ok and found['synthetic']['synthetic'] and found['cifar10']['state'] in ('missing', 'present') else 1)
END
fi
[ "$failures" -eq 0 ]
