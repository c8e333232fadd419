/* libtoxcore locks the scratch memory of each packet that it encrypts or decrypts: eight system calls a
 * packet, half of its time. These hooks leave that out. libtoxcore itself wipes the scratch memory before it
 * unlocks it, and the packet in it is in other buffers of the process anyway.
 *
 * Up to 0.2.18 it locks no keys; from 0.2.20 on it locks its caches of shared keys, each of 72 kB (256 slots
 * of 4 keys). Those stay locked. The length tells the two apart: scratch memory is a packet, at most 2 kB,
 * and 32 bytes. */
#define _GNU_SOURCE
#include "pagelock.h"
#include "importpatch.h"
#include "scratch.h"

#include <dlfcn.h>

enum { SCRATCH_BYTES = 4096 };

static int (*real_mlock)(void *, size_t);
static int (*real_munlock)(void *, size_t);

int pagelock_mlock(void *memory, size_t length) {
    if (length > SCRATCH_BYTES)
        return real_mlock(memory, length);
    scratch_note(memory);
    return 0;
}

int pagelock_munlock(void *memory, size_t length) {
    return length > SCRATCH_BYTES ? real_munlock(memory, length) : 0;
}

const char *pagelock_install(const void *address) {
    static const struct import imports[] = {{"sodium_mlock", pagelock_mlock},
                                            {"sodium_munlock", pagelock_munlock}};
    void *library = importpatch_library(address);
    if (!library)
        return "libtoxcore was not found as a shared library";
    real_mlock = (int (*)(void *, size_t))dlsym(library, "sodium_mlock");
    real_munlock = (int (*)(void *, size_t))dlsym(library, "sodium_munlock");
    if (!real_mlock || !real_munlock)
        return "libsodium's own functions were not found";
    return importpatch_apply(address, imports, 2);
}
