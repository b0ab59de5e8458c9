/* Documents that commands write beside results, told by their "schema" (documents.def): has each the keys it must have, of the right type? */
#ifndef HARNESS_DOCUMENTS_H
#define HARNESS_DOCUMENTS_H

#include "engine/json.h"

#include <stdbool.h>

typedef struct Document { const char *schema, *what, *list, *keys; } Document;   /* list: NULL when there is none to count */

/* NULL: no document of that schema. */
const Document *document_find(const char *schema);

bool document_check(const Document *d, const json_t *tree, Error *err);

#endif
