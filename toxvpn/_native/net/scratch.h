/* Keeps the scratch memory of a packet for the next one. Neighbours: owner.c says when a turn is, pagelock.c which
 * memory is scratch. */
#ifndef TOXVPN_SCRATCH_H
#define TOXVPN_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

enum {
    SCRATCH_SMALLEST = 1033, /* the C library has a quick list of its own for what is smaller */
    SCRATCH_LARGEST = 2112,  /* a packet of 2048 bytes, and what encryption puts before it */
};

/* A thread's turn: from the first call into libtoxcore until the last of nested ones returns. Nothing is kept longer. */
void scratch_begin(void);
void scratch_end(void);

/* libtoxcore has asked for this memory to be locked: it is scratch, which it wipes and then frees at once. */
void scratch_note(const void *memory);

/* The hooks, with the interface of malloc(3), free(3) and libsodium's function. */
void *scratch_malloc(size_t size);
void scratch_free(void *memory);
void scratch_memzero(void *memory, size_t length);

/* Replaces those three for the libtoxcore that contains `address`. Returns NULL, or why that is not possible. */
const char *scratch_install(const void *address);

#endif
