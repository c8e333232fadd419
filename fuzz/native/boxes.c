/* Boxes of a stranger: every kernel of this processor opens what the portable one opens, and no others, to the same
 * text; and what one seals, the others open. */
#include "box.h"
#include "input.h"

struct secret {
    uint8_t key[32], nonce[24];
};

static bool opened(const struct kernel *kernel, const uint8_t *box, size_t length,
                   const struct secret *secret, uint8_t *text) {
    memset(text, 0xa5, length);
    bool right = box_open(kernel, text, box, length, secret->nonce, secret->key);
    for (size_t at = 0; at < length; at++)
        CHECK(right || text[at] == 0xa5);
    return right;
}

static void compare(const struct kernel *kernel, const uint8_t *box, size_t length,
                    const struct secret *secret) {
    uint8_t *ours = malloc(length), *theirs = malloc(length);
    bool right = opened(kernel, box, length, secret, ours);
    CHECK(right == opened(&kernel_portable, box, length, secret, theirs));
    CHECK(!right || memcmp(ours, theirs, length) == 0);
    free(ours);
    free(theirs);
}

/* As text, sealed by both; in place too. */
static void seal(const struct kernel *kernel, uint8_t *text, size_t length, const struct secret *secret) {
    uint8_t *ours = malloc(length), *theirs = malloc(length);
    memset(text, 0, BOX_ZEROS);
    box_seal(kernel, ours, text, length, secret->nonce, secret->key);
    box_seal(&kernel_portable, theirs, text, length, secret->nonce, secret->key);
    CHECK(memcmp(ours, theirs, length) == 0);
    CHECK(opened(kernel, ours, length, secret, theirs));
    CHECK(memcmp(theirs, text, length) == 0);
    memcpy(theirs, text, length);
    box_seal(kernel, theirs, theirs, length, secret->nonce, secret->key);
    CHECK(memcmp(ours, theirs, length) == 0);
    free(ours);
    free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct secret secret;
    size_t length;
    for (size_t at = 0; at < sizeof secret.key; at++)
        secret.key[at] = (uint8_t)(number(&input, 1) | (at < 8 ? 0x80 : 0));
    for (size_t at = 0; at < sizeof secret.nonce; at++)
        secret.nonce[at] = (uint8_t)number(&input, 1);
    uint8_t *box = chunk(&input, BOX_LONGEST, &length);
    for (const struct kernel *const *each = kernels; *each && length >= BOX_ZEROS; each++)
        if ((*each)->usable()) {
            compare(*each, box, length, &secret);
            seal(*each, box, length, &secret);
        }
    free(box);
    return 0;
}
