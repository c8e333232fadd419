/* Compares every kernel that this processor can run with the portable one: every length, alignment by turns, texts at
 * random and of all ones. It needs no library, so that it also runs by itself under an emulator:
 *
 *     cc -O2 -static -I toxvpn/_native/crypto tests/_native/crypto/agree.c toxvpn/_native/crypto/{box,kernels,subkeys}.c \
 *         toxvpn/_native/crypto/{salsa20,poly1305}_*.c -o agree && ./agree
 *
 * Prints a line for each kernel. Exit code: 0 all agree; 1 some do not. */
#include "box.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = BOX_LONGEST, ROOM = LONGEST + KEYSTREAM_STEP + 64 };

static uint64_t state = 88172645463325252u;

static uint8_t next_byte(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint8_t)(state >> 32);
}

static void fill(uint8_t *out, size_t length, int round) {
    for (size_t i = 0; i < length; i++)
        out[i] = round == 0 ? next_byte() : round == 1 ? 0xff : next_byte() % 4 ? 0xff : next_byte();
}

static const char *difference(const struct kernel *kernel, size_t length, int round) {
    static uint8_t text[ROOM], ours[ROOM], theirs[ROOM], boxed[ROOM], opened[ROOM];
    uint8_t key[32], nonce[24], tag[2][16];
    uint32_t subkey[8];
    size_t offset = length % 64;

    fill(text, sizeof text, round);
    fill(key, sizeof key, round);
    fill(nonce, sizeof nonce, round);
    memcpy(subkey, key, sizeof subkey);
    kernel->keystream(ours + offset, length, subkey, nonce);
    kernel_portable.keystream(theirs, length, subkey, nonce);
    if (memcmp(ours + offset, theirs, length) != 0)
        return "the key stream";
    kernel->mac(tag[0], text + offset, length, key);
    kernel_portable.mac(tag[1], text + offset, length, key);
    if (memcmp(tag[0], tag[1], 16) != 0)
        return "the tag";
    if (length < BOX_ZEROS)
        return NULL;
    memset(text, 0, BOX_ZEROS);
    box_seal(kernel, boxed, text, length, nonce, key);
    box_seal(&kernel_portable, theirs, text, length, nonce, key);
    if (memcmp(boxed, theirs, length) != 0)
        return "the box";
    if (!box_open(kernel, opened, boxed, length, nonce, key) || memcmp(opened, text, length) != 0)
        return "the opened text";
    boxed[16 + length % 16] ^= 1;
    return box_open(kernel, opened, boxed, length, nonce, key) ? "what it takes for right" : NULL;
}

static int examine(const struct kernel *kernel) {
    for (int round = 0; round < 3; round++)
        for (size_t length = 0; length <= LONGEST; length++) {
            const char *what = difference(kernel, length, round);
            if (what) {
                printf("%s: %s differs at %zu bytes\n", kernel->name, what, length);
                return 1;
            }
        }
    printf("%s: agrees\n", kernel->name);
    return 0;
}

int main(void) {
    int failed = examine(&kernel_portable);
    for (const struct kernel *const *each = kernels; *each; each++)
        if ((*each)->usable())
            failed |= examine(*each);
        else
            printf("%s: not on this processor\n", (*each)->name);
    return failed;
}
