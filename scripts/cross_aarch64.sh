#!/usr/bin/env bash
# Builds for aarch64 on another machine and runs tests there under emulation. Numbers are checked, times are not: an emulator's
# mean nothing.
#   scripts/cross_aarch64.sh [TEST...]          default: the tests that compare numbers with other implementations
#
# Needs Debian's gcc-aarch64-linux-gnu and qemu-user. The arm64 libraries are downloaded from the distribution's own archive, by an
# apt of its own state below build/aarch64, and unpacked there: nothing is installed, no architecture is added to the system and
# no root is needed. Exit status 77 where the tools are not there.
set -eu
cd "$(dirname "$0")/.."
root=$PWD/build/aarch64 sysroot=$PWD/build/aarch64/sysroot
cross=aarch64-linux-gnu-gcc
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)
command -v "$cross" >/dev/null || { echo "skipped: no $cross (apt install gcc-aarch64-linux-gnu)" >&2; exit 77; }
[ -n "$qemu" ] || { echo "skipped: no qemu-aarch64 (apt install qemu-user)" >&2; exit 77; }
command -v apt-get >/dev/null || { echo "skipped: no apt-get; unpack arm64 libraries into $sysroot" >&2; exit 77; }
# libraries to link with; hardware counters are left out, since an emulator has none
wanted="libopenblas-openmp-dev libopenblas0-openmp libjansson-dev libjpeg62-turbo-dev libpng-dev zlib1g-dev libssl-dev libxxhash-dev
        libcmocka-dev librandom123-dev libgfortran5 libgomp1"

if [ ! -e "$sysroot/complete" ]; then
    mkdir -p "$root/apt/lists/partial" "$root/apt/cache/archives/partial" "$sysroot"
    : >"$root/apt/status"
    apt=(apt-get -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o "Dir::State=$root/apt" -o "Dir::State::lists=$root/apt/lists"
         -o "Dir::State::status=$root/apt/status" -o "Dir::Cache=$root/apt/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User=)
    "${apt[@]}" update
    # shellcheck disable=SC2086  # the list is of our own words
    "${apt[@]}" install --yes --download-only --no-install-recommends $wanted
    for package in "$root"/apt/cache/archives/*.deb; do dpkg-deb --extract "$package" "$sysroot"; done
    # /lib is a link in a system, and a folder of its own in packages of before the merge
    if [ -d "$sysroot/lib" ] && [ ! -L "$sysroot/lib" ]; then
        mkdir -p "$sysroot/usr/lib"
        cp -a "$sysroot/lib/." "$sysroot/usr/lib/"
        rm -r "${sysroot:?}/lib"
        ln -s usr/lib "$sysroot/lib"
    fi
    touch "$sysroot/complete"
fi

libraries=$sysroot/usr/lib/aarch64-linux-gnu
openblas=$libraries/openblas-openmp
export PKG_CONFIG_LIBDIR=$openblas/pkgconfig:$libraries/pkgconfig:$sysroot/usr/share/pkgconfig PKG_CONFIG_SYSROOT_DIR=$sysroot
unset PKG_CONFIG_PATH
[ $# -gt 0 ] || set -- test_parity test_backends test_simd_gemm test_simd_rows test_simd_attention test_ops test_packed test_stats test_rng
build() {
    make --no-print-directory "$@" BUILD_ROOT="$root" CC="$cross --sysroot=$sysroot" OPENBLAS_DIR= \
        LDLIBS="-L$openblas -L$libraries -Wl,-rpath-link,$openblas -Wl,-rpath-link,$libraries"
}
build all "${@/#/$root/release/tests/}"
failed=0
for test; do
    # one thread of ours: an emulator that takes turns between threads shows nothing more, and takes long
    if OMP_NUM_THREADS=1 "$qemu" -L "$sysroot" -E "LD_LIBRARY_PATH=$openblas:$libraries" "$root/release/tests/$test" >"$root/$test.log" 2>&1; then
        echo "ok      $test under $(basename "$qemu"): $(sed -n 's/^\[  PASSED  \] //p' "$root/$test.log" | head -n 1)"
    else
        failed=$((failed + 1))
        echo "FAILED  $test, log $root/$test.log"
        grep -aE '^\[  (ERROR|FAILED)|^\[   LINE' "$root/$test.log" | head -n 5 | sed 's/^/        /'
    fi
done
[ "$failed" -eq 0 ] || { echo "$failed of $# failed"; exit 1; }
echo "all $# pass on aarch64 under emulation"
