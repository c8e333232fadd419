/* Salsa20 a block at a time, in plain C: the reference that the wide versions are compared with. */
#include "salsa20.h"
#include "versions.h"

void salsa20_portable(uint8_t *out, size_t length, const uint32_t subkey[8], const uint8_t nonce[8]) {
    uint32_t start[SALSA20_WORDS], words[SALSA20_WORDS];
    uint32_t input[4] = {salsa20_word(nonce), salsa20_word(nonce + 4), 0, 0};

    for (size_t done = 0; done < length; done += sizeof words) {
        input[2] = (uint32_t)(done / sizeof words);
        salsa20_expand(start, subkey, input);
        memcpy(words, start, sizeof words);
        for (int i = 0; i < SALSA20_DOUBLE_ROUNDS; i++)
            SALSA20_DOUBLE_ROUND(words);
        for (int i = 0; i < SALSA20_WORDS; i++)
            words[i] += start[i];
        memcpy(out + done, words, sizeof words);
    }
}
