/* A kernel is used only if it agrees with libsodium here and now, for short texts of every length, then
 * for some up to the longest: what no test has foreseen, be it a compiler's or a
 * processor's fault, then costs speed and nothing else. This takes less than a millisecond. */
#include "choice.h"
#include "box.h"

#include <string.h>

enum { SHORT = 160, STRIDE = 61 };

struct trial {
    uint8_t nonce[24], key[32];
    uint8_t text[BOX_LONGEST], ours[BOX_LONGEST], sodium[BOX_LONGEST], opened[BOX_LONGEST];
};

/* Bytes without a pattern that a fault could hide in (a linear congruential generator); a third are all ones, by
 * which carries go far. */
static void fill(uint8_t *out, size_t length, uint32_t seed) {
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1664525 + 1013904223;
        out[i] = seed % 3 ? (uint8_t)(seed >> 24) : 0xff;
    }
}

static bool agrees_at(const struct kernel *kernel, size_t length, struct trial *trial, sodium_box *seal,
                      sodium_box *open) {
    fill(trial->nonce, sizeof trial->nonce, (uint32_t)length);
    fill(trial->key, sizeof trial->key, (uint32_t)length + 1);
    fill(trial->text + BOX_ZEROS, length - BOX_ZEROS, (uint32_t)length + 2);
    memset(trial->opened, 1, sizeof trial->opened);

    if (seal(trial->sodium, trial->text, length, trial->nonce, trial->key) != 0)
        return false;
    box_seal(kernel, trial->ours, trial->text, length, trial->nonce, trial->key);
    if (memcmp(trial->ours, trial->sodium, length) != 0 ||
        open(trial->opened, trial->ours, length, trial->nonce, trial->key) != 0 ||
        !box_open(kernel, trial->opened, trial->sodium, length, trial->nonce, trial->key) ||
        memcmp(trial->opened, trial->text, length) != 0)
        return false;
    trial->sodium[BOX_ZEROS - BOX_TAG + length % BOX_TAG] ^= (uint8_t)(1 << length % 8);
    return !box_open(kernel, trial->opened, trial->sodium, length, trial->nonce, trial->key);
}

static bool agrees(const struct kernel *kernel, sodium_box *seal, sodium_box *open) {
    struct trial trial = {0};
    size_t length = BOX_ZEROS;

    while (length <= BOX_LONGEST && agrees_at(kernel, length, &trial, seal, open))
        length += length < SHORT ? 1 : STRIDE;
    return length > BOX_LONGEST;
}

const struct kernel *choose_kernel(const struct kernel *const *list, sodium_box *seal, sodium_box *open,
                                   const char **why) {
    *why = "this processor has nothing faster than libsodium";
    for (; *list; list++) {
        if (!(*list)->usable())
            continue;
        if (agrees(*list, seal, open))
            return *list;
        *why = "what it encrypts differs from libsodium here: please report this";
    }
    return NULL;
}
