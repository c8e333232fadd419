/* libtoxcore allocates two pieces of memory for each packet that it encrypts or decrypts, wipes them and frees them.
 * The C library's quick lists end at 1032 bytes: each piece is cut from a larger one and joined with it again. These
 * hooks lend the same few pieces again and again, and wipe them once, when the turn is over: until then the next
 * packet is written over the last.
 *
 * A piece is memory of malloc(3), never less than SCRATCH_LARGEST bytes, so that whoever gets one may keep it, free
 * it or resize it. */
#define _GNU_SOURCE
#include "scratch.h"
#include "importpatch.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>

enum { PIECES = 4 }; /* libtoxcore needs two at a time */

struct piece {
    void *memory; /* NULL: none */
    bool lent;
    bool is_scratch; /* as long as it is lent */
    size_t unwiped;  /* so many bytes are to be wiped before it is really freed */
};

static _Thread_local struct {
    bool in_turn;
    struct piece pieces[PIECES];
} turn;

static void (*real_memzero)(void *, size_t);

void scratch_begin(void) { turn.in_turn = true; }

void scratch_end(void) {
    for (struct piece *piece = turn.pieces; piece < turn.pieces + PIECES; piece++) {
        if (piece->memory && !piece->lent) {
            if (piece->unwiped)
                real_memzero(piece->memory, piece->unwiped);
            free(piece->memory);
        }
        *piece = (struct piece){0};
    }
    turn.in_turn = false;
}

static struct piece *find(const void *memory) {
    for (struct piece *piece = turn.pieces; piece < turn.pieces + PIECES; piece++)
        if (piece->lent && piece->memory == memory)
            return piece;
    return NULL;
}

static struct piece *idle(void) {
    for (struct piece *piece = turn.pieces; piece < turn.pieces + PIECES; piece++)
        if (!piece->lent)
            return piece;
    return NULL;
}

void *scratch_malloc(size_t size) {
    bool fits = size >= SCRATCH_SMALLEST && size <= SCRATCH_LARGEST;
    struct piece *piece = turn.in_turn && fits ? idle() : NULL;
    if (!piece)
        return malloc(size);
    if (!piece->memory)
        piece->memory = malloc(SCRATCH_LARGEST);
    piece->lent = piece->memory != NULL;
    return piece->memory;
}

void scratch_note(const void *memory) {
    struct piece *piece = find(memory);
    if (piece)
        piece->is_scratch = true;
}

/* A length beyond a piece is for memory that came to its address by other ways: it may end before the turn does. */
void scratch_memzero(void *memory, size_t length) {
    struct piece *piece = find(memory);
    if (!piece || !piece->is_scratch || length > SCRATCH_LARGEST)
        real_memzero(memory, length);
    else if (piece->unwiped < length)
        piece->unwiped = length;
}

/* What came to that address by other ways (resized, or freed by another thread) may be smaller. */
void scratch_free(void *memory) {
    struct piece *piece = memory ? find(memory) : NULL;
    if (piece && malloc_usable_size(memory) >= SCRATCH_LARGEST) {
        piece->lent = piece->is_scratch = false;
        return;
    }
    if (piece)
        *piece = (struct piece){0};
    free(memory);
}

const char *scratch_install(const void *address) {
    static const struct import imports[] = {
        {"malloc", scratch_malloc}, {"free", scratch_free}, {"sodium_memzero", scratch_memzero}};
    void *library = importpatch_library(address);
    if (!library)
        return "libtoxcore was not found as a shared library";
    real_memzero = (void (*)(void *, size_t))dlsym(library, "sodium_memzero");
    if (!real_memzero)
        return "libsodium's own function was not found";
    return importpatch_apply(address, imports, 3);
}
