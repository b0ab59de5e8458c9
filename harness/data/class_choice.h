/* Some of the classes of a data set, as in data.classes "0-4,7": the chosen ones are numbered anew, 0, 1, ... in their old order. */
#ifndef HARNESS_CLASS_CHOICE_H
#define HARNESS_CLASS_CHOICE_H

#include "engine/error.h"

/* text: numbers and ranges between commas, each class once. renumbered (n_classes) gets the new number of each class, -1 where it is not
 * chosen; *n_chosen how many are. Errors name /data/classes. */
bool class_choice_parse(const char *text, int n_classes, int renumbered[], int *n_chosen, Error *err);

#endif
