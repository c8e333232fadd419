/* Decides which memory of libtoxcore is locked into RAM. Neighbours: importpatch.c, install.c. */
#ifndef TOXVPN_PAGELOCK_H
#define TOXVPN_PAGELOCK_H

#include <stddef.h>

/* Replaces sodium_mlock and sodium_munlock for the libtoxcore that contains `address`. Returns NULL, or why
 * that is not possible. */
const char *pagelock_install(const void *address);

/* The hooks, with the interface of libsodium's functions of these names. */
int pagelock_mlock(void *memory, size_t length);
int pagelock_munlock(void *memory, size_t length);

#endif
