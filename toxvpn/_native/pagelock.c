/* libtoxcore locks the scratch memory of each packet it encrypts or decrypts, eight system calls a
   packet, half of its time. Keys stay locked as they are; packet scratch is only wiped after use.
   What scratch holds, the plaintext of packets, is in the process's other buffers anyway. */
#define _GNU_SOURCE
#include "pagelock.h"
#include "importpatch.h"

#include <dlfcn.h>
#include <string.h>

/* Tox keys have 32 bytes (a signing key 64); scratch is a packet and more. */
enum { KEY_BYTES = 64 };

static int (*real_mlock)(void *, size_t);
static int (*real_munlock)(void *, size_t);

int pagelock_mlock(void *memory, size_t length)
{
    return length <= KEY_BYTES ? real_mlock(memory, length) : 0;
}

int pagelock_munlock(void *memory, size_t length)
{
    if (length <= KEY_BYTES)
        return real_munlock(memory, length);
    explicit_bzero(memory, length);
    return 0;
}

const char *pagelock_install(const void *address)
{
    static const struct import imports[] = {{"sodium_mlock", pagelock_mlock},
                                            {"sodium_munlock", pagelock_munlock}};
    Dl_info info;
    void *library = dladdr(address, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    if (!library)
        return "libtoxcore was not found as a shared library";
    /* not what the import entries hold: unresolved yet, that would undo the patch at the first call */
    real_mlock = (int (*)(void *, size_t))dlsym(library, "sodium_mlock");
    real_munlock = (int (*)(void *, size_t))dlsym(library, "sodium_munlock");
    if (!real_mlock || !real_munlock)
        return "libsodium's own functions were not found";
    return importpatch_apply(address, imports, 2);
}
