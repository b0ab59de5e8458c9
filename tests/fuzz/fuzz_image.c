/* Fuzz target: any bytes as a photograph. Refused with an error that says something, or decoded to the size its header told,
 * within the caps, and then preprocessed. Build with -fsanitize=fuzzer, or with replay.c to run the corpus. */
#include "harness/data/preprocess.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    Image      header, image;
    Preprocess p;
    Error      err = {0};
    uint8_t    pixels[8 * 8 * 3];
    const bool readable = image_read_header(&header, bytes, n, &err);
    CHECK(readable || err.message[0] != '\0', "refused without a word");
    /* large pictures only cost the fuzzer time */
    if (readable && (int64_t)header.width * header.height > 1 << 22) return 0;
    err = (Error){0};
    if (!image_decode(&image, bytes, n, &err)) {
        CHECK(image.owner == NULL && err.message[0] != '\0', "refused without a word");
        return 0;
    }
    CHECK(readable, "decoded, but its header could not be read");
    CHECK(image.width == header.width && image.height == header.height && image.channels == header.channels, "another size than told");
    CHECK((int64_t)image.width * image.height <= IMAGE_MAX_PIXELS, "beyond the cap");
    CHECK(image.orientation >= 1 && image.orientation <= 8, "orientation %d", image.orientation);
    const bool found = preprocess_find(&p, "deit+exif", 8, &err);
    CHECK(found, "%s", err.message);
    (void)preprocess_apply(&p, &image, pixels, &err);       /* a line of pixels may be too narrow for a preset */
    image_free(&image);
    return 0;
}
