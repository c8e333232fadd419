/* For an emulator whose clock counts instructions (Bochs): every kernel takes as many for one key and text as for any other
 * of that length, so no branch of other length hangs on them. It says what valgrind says of kernels that valgrind can run.
 *
 * Prints a line for each kernel. Exit code: 0 the counts are equal; 1 some are not. */
#include "box.h"

#include <stdio.h>
#include <string.h>

enum { TRIALS = 6 };

static uint8_t text[BOX_LONGEST], box[BOX_LONGEST], opened[BOX_LONGEST];

static uint64_t count(void) {
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

/* All zeros, all ones, and bytes without a pattern. */
static void fill(uint8_t *out, size_t length, int trial) {
    static uint32_t state = 1;
    for (size_t i = 0; i < length; i++) {
        state = state * 1664525 + 1013904223;
        out[i] = trial == 0 ? 0 : trial == 1 ? 0xff : (uint8_t)(state >> 24);
    }
}

static uint64_t steps(const struct kernel *kernel, size_t length, int trial) {
    uint8_t key[32], nonce[24] = {0};
    fill(key, sizeof key, trial);
    fill(text, length, trial);
    memset(text, 0, BOX_ZEROS);
    uint64_t start = count();
    box_seal(kernel, box, text, length, nonce, key);
    bool right = box_open(kernel, opened, box, length, nonce, key);
    uint64_t taken = count() - start;
    return right ? taken : 0;
}

static int examine(const struct kernel *kernel) {
    steps(kernel, BOX_ZEROS, TRIALS); /* the first subkey of all finds its place empty, no other does */
    for (size_t length = BOX_ZEROS; length <= BOX_LONGEST; length += 21) {
        uint64_t first = steps(kernel, length, 0);
        for (int trial = 1; trial < TRIALS; trial++)
            if (steps(kernel, length, trial) != first) {
                printf("%s: %zu bytes take more instructions for one key or text than for another\n", kernel->name,
                       length);
                return 1;
            }
    }
    printf("%s: as many instructions for every key and text\n", kernel->name);
    return 0;
}

int main(void) {
    int failed = 0;
    for (const struct kernel *const *each = kernels; *each; each++)
        failed |= (*each)->usable() ? examine(*each) : 0;
    return failed;
}
