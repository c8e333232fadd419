/* The primitives of XSalsa20-Poly1305 that a packet's time goes to, in several versions: one kernel is one of
 * each. box.c builds boxes from a kernel; choice.c takes the first of the list that this processor has and that
 * agrees with libsodium.
 *
 * No kernel branches or looks up by secret bytes: key, key stream, text. Lengths are public. */
#ifndef TOXVPN_CRYPTO_KERNELS_H
#define TOXVPN_CRYPTO_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the wide versions take of a compiler: GCC 12 or clang. */
#if defined(__x86_64__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define KERNELS_X86
#endif
#endif
#if defined(__aarch64__) && defined(__has_builtin) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#if __has_builtin(__builtin_shufflevector)
#define KERNELS_ARM
#endif
#endif

enum {
    SALSA20_BLOCK = 64,
    KEYSTREAM_STEP = 512, /* a multiple of what any kernel writes at a time */
};

struct kernel {
    const char *name;
    bool (*usable)(void);
    /* Salsa20's key stream, from block 0, for a subkey (HSalsa20's) and the last 8 bytes of XSalsa20's nonce.
     * `out`, not aligned, has room for `length` rounded up to KEYSTREAM_STEP, and all of it may be written. */
    void (*keystream)(uint8_t *out, size_t length, const uint32_t subkey[8], const uint8_t nonce[8]);
    /* Poly1305 of `length` bytes, which are not aligned. */
    void (*mac)(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]);
    /* to[i] = from[i] ^ stream[i]; none is aligned, and `to` may be `from`. */
    void (*mix)(uint8_t *to, const uint8_t *from, const uint8_t *stream, size_t length);
};

/* Those that are faster than libsodium where they are usable, the fastest first; NULL ends the list. */
extern const struct kernel *const kernels[];

/* Plain C, for every processor of 64 bits: the reference. Not in the list, as it is slower than libsodium. */
extern const struct kernel kernel_portable;

#endif
