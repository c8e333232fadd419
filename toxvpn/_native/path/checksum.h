/* The Internet checksum (RFC 1071) at the speed of memory.
 *
 * A partial sum is a 64-bit ones' complement sum in the byte order of memory: partial sums of pieces of even
 * length can be added, and csum_fold() returns the 16 bits as they stand in the packet. */
#ifndef TOXVPN_CHECKSUM_H
#define TOXVPN_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t csum_add(uint64_t sum, uint64_t more) {
    sum += more;
    return sum + (sum < more);
}

static inline uint64_t csum_load(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* The last 0 to 7 bytes, as if zeros followed. */
static inline uint64_t csum_tail(const uint8_t *at, size_t length) {
    uint64_t word = 0;
    memcpy(&word, at, length);
    return word;
}

#if defined(__x86_64__)
/* In checksum.c: a multiple of 32 bytes, which are also copied unless `to` is NULL. */
extern bool csum_has_vectors;
uint64_t csum_vectors(uint8_t *to, const uint8_t *from, size_t length);
#else
enum { csum_has_vectors = false };
static inline uint64_t csum_vectors(uint8_t *to, const uint8_t *from, size_t length) { return 0; }
#endif

/* As many of them as are better given to csum_vectors(). */
static inline size_t csum_many(size_t length) {
    return csum_has_vectors && length >= 128 ? length & ~(size_t)31 : 0;
}

static inline uint64_t csum_bytes(const uint8_t *at, size_t length) {
    /* four chains of additions, so that the carries of one do not wait for those of the others */
    uint64_t a = 0, b = 0, c = 0, d = 0;
    size_t many = csum_many(length);
    if (many)
        a = csum_vectors(NULL, at, many);
    for (at += many, length -= many; length >= 32; at += 32, length -= 32) {
        a = csum_add(a, csum_load(at));
        b = csum_add(b, csum_load(at + 8));
        c = csum_add(c, csum_load(at + 16));
        d = csum_add(d, csum_load(at + 24));
    }
    for (; length >= 8; at += 8, length -= 8)
        a = csum_add(a, csum_load(at));
    if (length)
        a = csum_add(a, csum_tail(at, length));
    return csum_add(csum_add(a, b), csum_add(c, d));
}

/* Copies and sums. */
static inline uint64_t csum_copy(uint8_t *to, const uint8_t *from, size_t length) {
    size_t many = csum_many(length);
    uint64_t sum = many ? csum_vectors(to, from, many) : 0;
    memcpy(to + many, from + many, length - many);
    return csum_add(sum, csum_bytes(from + many, length - many));
}

static inline uint16_t csum_fold(uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

#endif
