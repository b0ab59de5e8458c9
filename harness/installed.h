/* Files that come with the program: in the source tree above it (build/<config>/morbench), or where it was installed
 * (PREFIX/bin/morbench, PREFIX/share/morbench/...). */
#ifndef HARNESS_INSTALLED_H
#define HARNESS_INSTALLED_H

#include <limits.h>
#include <stdbool.h>

/* The first place that holds `below` ("experiments", "scripts/fetch_data.sh") readable; false: none does. */
bool installed_find(char path[PATH_MAX], const char *below);

#endif
