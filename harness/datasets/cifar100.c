/* CIFAR-100 (Krizhevsky 2009), binary version: 32x32 colour photographs, 100 classes, 50,000 to train, 10,000 to test.
 * Records of a coarse label (20 superclasses, checked but not used), a fine label and 3072 pixel bytes; train.bin, test.bin. */
#include "harness/datasets/cifar.h"
#include "harness/datasets/in_memory.h"

#include <string.h>

static const CifarFiles train_files = {
    .name = {"train.bin"}, .n_files = 1, .n_records = 50000, .n_label_bytes = 2, .n_labels = {20, 100}};
static const CifarFiles test_files = {
    .name = {"test.bin"}, .n_files = 1, .n_records = 10000, .n_label_bytes = 2, .n_labels = {20, 100}};

static const char *const class_names[100] = {
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
};

/* of the training pixels */
static const float MEAN[3] = {0.5071f, 0.4865f, 0.4409f}, SD[3] = {0.2673f, 0.2564f, 0.2762f};

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

const DatasetKind dataset_kind_cifar100 = {
    .name = "cifar100", .title = "CIFAR-100, 32x32 colour, 100 classes",
    .open = open_split, .view = in_memory_view, .label = in_memory_label, .digest = digest, .close = in_memory_close,
    .probe = {"train.bin", "test.bin"}, .advice = "run: morbench data fetch cifar100",
};
