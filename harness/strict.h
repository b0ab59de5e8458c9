/* Objects of JSON files that are read key by key: an unknown key is an error that names the known ones. */
#ifndef HARNESS_STRICT_H
#define HARNESS_STRICT_H

#include "engine/json.h"

/* object is an object and has no keys but these (ends with NULL). where: its JSON pointer, for the message. */
bool strict_keys(const json_t *object, const char *where, const char *const keys[], Error *err);
/* Each of these keys is there, a text that is not empty. */
bool strict_texts(const json_t *object, const char *where, const char *const keys[], Error *err);
/* A list of texts; NULL is fine. */
bool strict_list_of_texts(const json_t *list, const char *where, Error *err);

#endif
