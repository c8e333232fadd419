/* Points a loaded library's imports at functions of ours. Neighbour: install.c names the functions. */
#ifndef TOXVPN_IMPORTPATCH_H
#define TOXVPN_IMPORTPATCH_H

#include <stddef.h>

struct import {
    const char *name;
    void *replacement;
};

/* Replaces these imports of the library that contains `address`: all of them or none. Returns NULL when they
 * are in force, else why not (a constant string). */
const char *importpatch_apply(const void *address, const struct import *imports, size_t count);

/* The handle, for dlsym(3), of the loaded library that contains `address`; what it is linked to is found by it too. An
 * import's entry may be unresolved, and calling one would undo the patch. NULL: it is in no shared library. */
void *importpatch_library(const void *address);

#endif
