/* The functions that libtoxcore calls in place of libsodium's. Neighbours: importpatch.c puts them in place,
 * choice.c says which kernel they use. */
#ifndef TOXVPN_CRYPTO_BOXHOOK_H
#define TOXVPN_CRYPTO_BOXHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Replaces crypto_box_afternm and crypto_box_open_afternm for the libtoxcore that contains `address`. Returns
 * NULL, or why that is not done. */
const char *boxhook_install(const void *address);

/* The name of the kernel in force, NULL if none is. */
const char *boxhook_kernel(void);

/* How many boxes libtoxcore has tried to open. */
extern uint64_t boxhook_opened;

int boxhook_afternm(uint8_t *box, const uint8_t *text, unsigned long long length, const uint8_t *nonce,
                    const uint8_t *key);
int boxhook_open_afternm(uint8_t *text, const uint8_t *box, unsigned long long length, const uint8_t *nonce,
                         const uint8_t *key);

/* Called once, with the text of the next box that this thread opens; NULL: none is waited for. */
extern _Thread_local void (*boxhook_next_text)(const uint8_t *text, size_t length);
/* While it is `wanted`, what the box begins and ends with that this thread has sealed last; a shorter one is not noted. */
enum { BOXHOOK_LAST = 8 };
extern _Thread_local struct boxhook_sealed {
    bool wanted;
    size_t length; /* of the text */
    uint8_t first, last[BOXHOOK_LAST];
} boxhook_sealed;
enum { BOXHOOK_TOLD = 2 };
/* From now on `call` gets each text of `length` bytes before it is encrypted. For so many lengths. */
void boxhook_on_sealing(size_t length, void (*call)(const uint8_t *text));

#endif
