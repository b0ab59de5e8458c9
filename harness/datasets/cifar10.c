/* CIFAR-10 (Krizhevsky 2009), binary version: 32x32 colour photographs, 10 classes, 50,000 to train, 10,000 to test.
 * Records of one label byte and 3072 pixel bytes; data_batch_1.bin ... data_batch_5.bin, test_batch.bin. */
#include "harness/datasets/cifar.h"
#include "harness/datasets/in_memory.h"

#include <string.h>

static const CifarFiles train_files = {
    .name = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
    .n_files = 5, .n_records = 10000, .n_label_bytes = 1, .n_labels = {10}};
static const CifarFiles test_files = {
    .name = {"test_batch.bin"}, .n_files = 1, .n_records = 10000, .n_label_bytes = 1, .n_labels = {10}};

static const char *const class_names[10] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};

/* of the training pixels */
static const float MEAN[3] = {0.4914f, 0.4822f, 0.4465f}, SD[3] = {0.2470f, 0.2435f, 0.2616f};

static const CifarFiles *files_of(const char *split) { return strcmp(split, "train") == 0 ? &train_files : &test_files; }

static bool open_split(Dataset *d, const DatasetOptions *o, const char *arguments, Error *err) {
    (void)o; (void)arguments;
    d->class_names = class_names;
    memcpy(d->mean, MEAN, sizeof d->mean);
    memcpy(d->sd, SD, sizeof d->sd);
    return cifar_open(d, files_of(d->split), err);
}

static bool digest(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err) {
    return cifar_digest(d, files_of(d->split), hex, err);
}

const DatasetKind dataset_kind_cifar10 = {
    .name = "cifar10", .title = "CIFAR-10, 32x32 colour, 10 classes",
    .open = open_split, .view = in_memory_view, .label = in_memory_label, .digest = digest, .close = in_memory_close,
    .probe = {"data_batch_1.bin", "test_batch.bin"}, .advice = "run: morbench data fetch cifar10",
};
