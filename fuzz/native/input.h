/* What a target in C takes from its input, as Choices does in Python, and how it says that something is wrong. */
#ifndef TOXVPN_FUZZ_INPUT_H
#define TOXVPN_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct input {
    const uint8_t *at;
    size_t left;
};

/* A number of so many bytes; what is beyond the end is 0. */
static inline uint32_t number(struct input *input, int bytes) {
    uint32_t value = 0;
    for (; bytes > 0; bytes--) {
        value <<= 8;
        if (input->left) {
            value |= *input->at++;
            input->left--;
        }
    }
    return value;
}

/* A number from 0 to limit - 1. */
static inline uint32_t below(struct input *input, uint32_t limit) {
    return number(input, limit <= 256 ? 1 : limit <= 65536 ? 2 : 4) % limit;
}

/* A copy of at most so many bytes in memory of their own, so that any access beyond them is noticed. */
static inline uint8_t *chunk(struct input *input, size_t most, size_t *length) {
    *length = most < input->left ? most : input->left;
    uint8_t *copy = malloc(*length ? *length : 1);
    CHECK(copy != NULL);
    memcpy(copy, input->at, *length);
    input->at += *length;
    input->left -= *length;
    return copy;
}

/* So many bytes in memory of their own, of which the first ones are the input's and the others 0: what is long need
 * not come of a long input. */
static inline uint8_t *padded(struct input *input, size_t most, size_t length) {
    size_t taken;
    uint8_t *head = chunk(input, most < length ? most : length, &taken);
    uint8_t *whole = calloc(1, length ? length : 1);
    CHECK(whole != NULL);
    memcpy(whole, head, taken);
    free(head);
    return whole;
}

#endif
