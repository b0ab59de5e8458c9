#!/bin/bash
# Files that are truncated, corrupt or hostile, as a user meets them: one line that names the file, a documented exit status (1: it is
# no such file or goes beyond what is allowed; 5: it is damaged), never a crash, and never a run on what could still be read.
#   tests/test_data_damage.sh path/to/morbench        (from the repository root)
set -u
morbench=$(realpath "${1:?usage: tests/test_data_damage.sh path/to/morbench}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export NO_COLOR=1 OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MORBENCH_BLAS_CORE MORBENCH_DATA
# shellcheck source=tests/claims.sh
. tests/claims.sh
images=$(pwd)/tests/golden/images

cat >"$dir/c.json" <<'END'
{"data":  {"name": "fashion_mnist"},
 "model": {"preset": "vit_d64_l6_p4_28", "embed_dim": 8, "num_heads": 1, "depth": 1, "mlp_ratio": 1},
 "train": {"epochs": 1, "batch_size": 4, "warmup_epochs": 0}}
END
train() { "$morbench" train "$dir/c.json" --threads 1 --quiet --out "$dir/run" "$@"; }
fresh() { rm -rf "$dir/run"; train "$@"; }
no_run() { [ ! -e "$dir/run/run.json" ] && [ ! -e "$dir/run/weights.safetensors" ]; }
# spoiled CLAIM STATUS PATTERN arguments... : refused, and nothing that looks like a result
spoiled() {
    local claim=$1
    rm -rf "$dir/run"
    refused "$@"
    no_run || say wrong "$claim: left a result"
}
# poke FILE OFFSET OCTAL : one byte written over
poke() { printf "\\$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }
size() { stat -c %s "$1"; }

# ---- IDX and gzip ----
number() { printf "\\$(printf %o $(($1 >> 24 & 255)))\\$(printf %o $(($1 >> 16 & 255)))\\$(printf %o $(($1 >> 8 & 255)))\\$(printf %o $(($1 & 255)))"; }
N=20
make_idx() {
    rm -rf "$dir/idx"
    mkdir "$dir/idx"
    for split in train t10k; do
        { printf '\0\0\10\3'; number $N; number 28; number 28; for ((i = 0; i < N; i++)); do head -c 784 /dev/zero | tr '\0' "\\$(printf %o $((i + 1)))"; done; } >"$dir/idx/$split-images-idx3-ubyte"
        { printf '\0\0\10\1'; number $N; head -c $N /dev/zero; } >"$dir/idx/$split-labels-idx1-ubyte"
    done
}
idx=(data.root="$dir/idx")
make_idx
holds "the set is good before it is damaged" fresh "${idx[@]}"
gzip "$dir"/idx/*
holds "and so it is compressed" fresh "${idx[@]}"
file=$dir/idx/train-images-idx3-ubyte
make_idx && gzip "$dir"/idx/* && truncate -s 0 "$file.gz"
spoiled "an empty gzip file" 5 "train-images-idx3-ubyte.gz: truncated" train "${idx[@]}"
for bytes in 2 9 17; do
    make_idx && gzip "$dir"/idx/* && truncate -s "$bytes" "$file.gz"
    spoiled "a gzip file of $bytes bytes" 5 "train-images-idx3-ubyte.gz: truncated gzip data" train "${idx[@]}"
done
make_idx && gzip "$dir"/idx/* && truncate -s -1 "$file.gz"
spoiled "a gzip file without its last byte" 5 "train-images-idx3-ubyte.gz: truncated gzip data" train "${idx[@]}"
make_idx && gzip "$dir"/idx/* && truncate -s -4 "$file.gz"
spoiled "a gzip file without its length" 5 "train-images-idx3-ubyte.gz: truncated gzip data" train "${idx[@]}"
make_idx && gzip "$dir"/idx/* && poke "$file.gz" $(($(size "$file.gz") - 6)) 125
spoiled "a gzip file whose checksum does not fit" 5 "train-images-idx3-ubyte.gz: corrupt gzip data" train "${idx[@]}"
make_idx && gzip "$dir"/idx/* && poke "$file.gz" $(($(size "$file.gz") / 2)) 377 && poke "$file.gz" $(($(size "$file.gz") / 2 + 1)) 377
spoiled "a gzip file with other bytes in its middle" 5 "train-images-idx3-ubyte.gz: (corrupt|truncated) gzip data" train "${idx[@]}"
make_idx && gzip "$dir"/idx/* && echo more >>"$file.gz"
spoiled "a gzip file with something behind it" 1 "train-images-idx3-ubyte.gz: 5 bytes follow the end of the gzip data" train "${idx[@]}"
make_idx && gzip "$dir"/idx/* && head -c 300000000 /dev/zero | gzip -1 >"$file.gz"
spoiled "a decompression bomb" 1 "train-images-idx3-ubyte.gz: inflates to more than [0-9]+ bytes from [0-9]+; refused as a decompression bomb" train "${idx[@]}"
make_idx && truncate -s -1 "$file"
spoiled "an IDX file without its last pixel" 5 "train-images-idx3-ubyte: truncated IDX data: 15679 bytes of 15680" train "${idx[@]}"
make_idx && truncate -s 7 "$file"
spoiled "an IDX file cut in its header" 5 "train-images-idx3-ubyte: truncated IDX header" train "${idx[@]}"
make_idx && poke "$file" 0 1
spoiled "an IDX file of another magic number" 1 "train-images-idx3-ubyte: not an IDX file" train "${idx[@]}"
make_idx && poke "$file" 2 15
spoiled "an IDX file of another element type" 1 "train-images-idx3-ubyte: IDX element type" train "${idx[@]}"
make_idx && poke "$file" 4 177
spoiled "an IDX file that declares more than it holds" 5 "train-images-idx3-ubyte: truncated IDX data" train "${idx[@]}"
make_idx && printf x >>"$file"
spoiled "an IDX file with a byte too many" 1 "train-images-idx3-ubyte: 1 bytes follow the end" train "${idx[@]}"
make_idx && poke "$dir/idx/train-labels-idx1-ubyte" 11 12
spoiled "a label out of range" 1 "train-labels-idx1-ubyte: label of image 3 must be below 10, got 10" train "${idx[@]}"
make_idx && poke "$dir/idx/t10k-labels-idx1-ubyte" 27 377
spoiled "a test label out of range, before anything is trained" 1 "t10k-labels-idx1-ubyte: label of image 19 must be below 10, got 255" train "${idx[@]}"
make_idx && poke "$dir/idx/train-labels-idx1-ubyte" 7 23 && truncate -s -1 "$dir/idx/train-labels-idx1-ubyte"
spoiled "fewer labels than images" 1 "train-labels-idx1-ubyte: 19 labels for 20 images" train "${idx[@]}"
make_idx && rm "$dir/idx/t10k-images-idx3-ubyte"
spoiled "a test file that is missing, before anything is trained" 1 "data fetch fashion_mnist" train "${idx[@]}"

# ---- CIFAR ----
cifar=(data.name=cifar10 data.root="$dir/cifar" model.img_size=32 model.in_chans=3 data.limit=8 data.test_limit=8)
make_cifar() {
    mkdir -p "$dir/cifar"
    for name in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
        [ "$(stat -c %s "$dir/cifar/$name.bin" 2>/dev/null)" = 30730000 ] || head -c 30730000 /dev/zero >"$dir/cifar/$name.bin"
    done
}
make_cifar
holds "CIFAR-10 is good before it is damaged" fresh "${cifar[@]}"
truncate -s -1 "$dir/cifar/data_batch_3.bin"
spoiled "a CIFAR file without its last byte" 5 "data_batch_3.bin: truncated: 30729999 bytes of 30730000" train "${cifar[@]}"
make_cifar && printf x >>"$dir/cifar/data_batch_5.bin"
spoiled "a CIFAR file with a byte too many" 1 "data_batch_5.bin: must be 30730000 bytes" train "${cifar[@]}"
make_cifar && poke "$dir/cifar/data_batch_2.bin" $((3073 * 7)) 12
spoiled "a CIFAR label out of range" 1 "data_batch_2.bin: label 0 of record 7 must be below 10, got 10" train "${cifar[@]}"
poke "$dir/cifar/data_batch_2.bin" $((3073 * 7)) 0
poke "$dir/cifar/test_batch.bin" 0 377
spoiled "a CIFAR test label out of range" 1 "test_batch.bin: label 0 of record 0 must be below 10, got 255" train "${cifar[@]}"
rm -rf "$dir/cifar"

# ---- photographs ----
# batches of 5 leave none of the 15 photographs out
folder=(data.name= data.dir="$dir/photos" data.preprocess=deit model.in_chans=3 train.batch_size=5)
make_photos() {
    rm -rf "$dir/photos"
    for split in train test; do
        for class in a b c; do
            mkdir -p "$dir/photos/$split/$class"
            cp "$images/rgb.jpg" "$dir/photos/$split/$class/1.jpg"
            cp "$images/grey.jpg" "$dir/photos/$split/$class/2.JPEG"
            cp "$images/cmyk.jpg" "$dir/photos/$split/$class/3.jpg"
            cp "$images/rgb16.png" "$dir/photos/$split/$class/4.png"
            cp "$images/grey16.png" "$dir/photos/$split/$class/5.PNG"
        done
    done
}
make_photos
holds "photographs in colour, grey, CMYK and 16 bits train" fresh "${folder[@]}"
jpeg=$dir/photos/train/b/1.jpg png=$dir/photos/train/b/4.png
truncate -s $(($(size "$jpeg") / 2)) "$jpeg"
spoiled "half a JPEG" 5 "train/b/1.jpg: truncated JPEG" train "${folder[@]}"
make_photos && truncate -s 20 "$jpeg"
spoiled "twenty bytes of a JPEG" 5 "train/b/1.jpg: (truncated|cannot decode) JPEG" train "${folder[@]}"
make_photos && head -c 3000 /dev/urandom >"$jpeg"
spoiled "random bytes instead of a JPEG" 1 "train/b/1.jpg: neither a JPEG nor a PNG file" train "${folder[@]}"
make_photos && : >"$jpeg"
spoiled "an empty file instead of a JPEG" 1 "train/b/1.jpg: neither a JPEG nor a PNG file" train "${folder[@]}"
frame=$(LC_ALL=C grep -obUaP '\xff\xc0' "$images/rgb.jpg" | head -n 1 | cut -d: -f1)     # marker, length, precision, height, width, components
make_photos && poke "$jpeg" $((frame + 4)) 115
spoiled "a JPEG of 77 bits a sample" 5 "train/b/1.jpg: cannot decode JPEG: Unsupported JPEG data precision 77" train "${folder[@]}"
make_photos && poke "$jpeg" $((frame + 9)) 7
spoiled "a JPEG whose header contradicts itself" 5 "train/b/1.jpg: cannot decode JPEG" train "${folder[@]}"
make_photos && truncate -s $(($(size "$png") / 2)) "$png"
spoiled "half a PNG" 5 "train/b/4.png: cannot decode PNG" train "${folder[@]}"
make_photos && poke "$png" $(($(size "$png") / 2)) 125
spoiled "a PNG with another byte in its middle" 5 "train/b/4.png: cannot decode PNG" train "${folder[@]}"
make_photos && poke "$png" 16 177
spoiled "a PNG with another width than its checksum knows" 5 "train/b/4.png: cannot decode PNG: IHDR: CRC error" train "${folder[@]}"
# 2147483647 x 2147483647, with the checksum that belongs to it
make_photos && printf '\211\120\116\107\15\12\32\12\0\0\0\15\111\110\104\122\177\377\377\377\177\377\377\377\10\2\0\0\0\233\253\234\61' >"$png"
spoiled "a PNG that declares two thousand million columns" 5 "train/b/4.png: cannot decode PNG: Invalid IHDR data" train "${folder[@]}"
make_photos
for k in 5 7; do poke "$jpeg" $((frame + k)) 352; poke "$jpeg" $((frame + k + 1)) 140; done
spoiled "a JPEG that declares 60000 columns and rows" 1 "train/b/1.jpg: an image of 60000x60000 is larger than allowed" train "${folder[@]}"
make_photos && rm "$dir"/photos/train/c/*
spoiled "a class folder without images" 1 "train/c: a class folder without .jpg, .jpeg or .png files" train "${folder[@]}"
make_photos && rm -r "$dir/photos/test/b"
spoiled "a class that one split lacks" 1 "classes differ" train "${folder[@]}"
make_photos && rm -r "$dir/photos/test"
spoiled "a missing split" 1 "photos" train "${folder[@]}"
make_photos && truncate -s $(($(size "$jpeg") / 2)) "$dir/photos/test/c/1.jpg"
spoiled "a test photograph cut short, only read in the end" 5 "test/c/1.jpg: truncated JPEG" train "${folder[@]}"
make_photos && ln -sf nowhere "$dir/photos/train/a/1.jpg"
spoiled "a photograph that is a dangling link" 1 "train/a/1.jpg" train "${folder[@]}"
make_photos && mkfifo "$dir/photos/train/a/0.jpg"
spoiled "a pipe among the photographs" 1 "train/a/0.jpg" timeout 20 "$morbench" train "$dir/c.json" --threads 1 --quiet --out "$dir/run" "${folder[@]}"

echo "1..$n"
[ "$failed" -eq 0 ] || { echo "$failed of $n failed"; exit 1; }
