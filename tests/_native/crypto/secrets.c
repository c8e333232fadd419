/* Run under valgrind, tells where a branch or an address depends on a secret: key, text and what is made of them count as
 * uninitialised memory, and valgrind reports every decision taken by such. (A. Langley's idea, "ctgrind", 2010.)
 *
 *     secrets          every kernel that this processor can run
 *     secrets branch   as a proof that it is seen, only a branch by a byte of the key
 *     secrets look-up  likewise, a look-up
 *
 * What is decided by secrets and no secret itself is named in public.supp. */
#include "box.h"
#include "subkeys.h"

#include <stdio.h>
#include <string.h>
#include <valgrind/memcheck.h>

static uint8_t key[32], nonce[24], text[BOX_LONGEST], box[BOX_LONGEST], opened[BOX_LONGEST];
static volatile int sink;

static void secret(void *bytes, size_t length) { (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, length); }

static void seal_and_open(const struct kernel *kernel, size_t length) {
    memset(text, 0, BOX_ZEROS);
    memset(text + BOX_ZEROS, 7, length - BOX_ZEROS);
    memset(key, 3, sizeof key);
    secret(key, sizeof key);
    secret(text + BOX_ZEROS, length - BOX_ZEROS);
    box_seal(kernel, box, text, length, nonce, key);
    sink += box_open(kernel, opened, box, length, nonce, key);
    /* the same with a tag that is wrong */
    box[BOX_ZEROS - 1] ^= 1;
    sink += box_open(kernel, opened, box, length, nonce, key);
    nonce[length % sizeof nonce]++;
}

static void examine(const struct kernel *kernel) {
    for (size_t length = BOX_ZEROS; length <= BOX_LONGEST; length += length < 400 ? 1 : 47)
        seal_and_open(kernel, length);
    printf("%s: no branch and no look-up by a secret, unless reported above\n", kernel->name);
}

/* What valgrind has to report. */
static int betray(bool branch) {
    static const uint8_t table[256];
    secret(key, sizeof key);
    if (!branch)
        sink += *(const volatile uint8_t *)&table[key[5]];
    else if (key[5] & 1)
        sink++;
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1)
        return betray(strcmp(argv[1], "branch") == 0);
    examine(&kernel_portable);
    for (const struct kernel *const *each = kernels; *each; each++)
        if ((*each)->usable())
            examine(*each);
        else
            printf("%s: not on this processor\n", (*each)->name);
    return 0;
}
