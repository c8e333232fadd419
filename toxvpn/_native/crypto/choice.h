/* Which kernel is used here. Neighbours: boxhook.c asks at start, box.c does the work. */
#ifndef TOXVPN_CRYPTO_CHOICE_H
#define TOXVPN_CRYPTO_CHOICE_H

#include "kernels.h"

/* The interface of libsodium's crypto_box_afternm and crypto_box_open_afternm. */
typedef int sodium_box(uint8_t *, const uint8_t *, unsigned long long, const uint8_t *, const uint8_t *);

/* The first kernel of the list (NULL ends it) that this processor has and that does as libsodium does; NULL if
 * there is none, and `why`. */
const struct kernel *choose_kernel(const struct kernel *const *list, sodium_box *seal, sodium_box *open,
                                   const char **why);

#endif
