/* The text of a request is as the protocol of Tox has it ("Onion", "Announce request packet"): a ping ID, the key that is
 * looked for, one for data, and a number. Without a ping ID it is a search, or asks for one; the node keeps nothing.
 * Wrapped for the first hop, it begins with the byte of request packet 0. */
#include "announced.h"
#include "kernel.h"

#include <stdlib.h>
#include <string.h>

enum { PING_ID_BYTES = 32, ONION_REQUEST = 0x80 };

void announced_making(struct announced *announced, const uint8_t *text) {
    static const uint8_t none[PING_ID_BYTES];
    announced->making = memcmp(text, none, PING_ID_BYTES) != 0;
}

void announced_sent(struct announced *announced, int fd, const void *datagram, size_t length,
                    const struct sockaddr *to, socklen_t to_length) {
    if (!announced->making || !length || *(const uint8_t *)datagram != ONION_REQUEST)
        return;
    announced->making = false;
    if (length > ANNOUNCED_LONGEST || !to || to_length > sizeof announced->all->to)
        return;
    if (!announced->all && !(announced->all = calloc(ANNOUNCED_MOST, sizeof *announced->all)))
        return;
    struct announcement *one = &announced->all[announced->next];
    announced->next = (announced->next + 1) % ANNOUNCED_MOST;
    one->fd = fd;
    one->sent_ns = netio_now_ns();
    one->to_length = to_length;
    memcpy(&one->to, to, to_length);
    one->length = length;
    memcpy(one->datagram, datagram, length);
}

const struct announcement *announced_next(const struct announced *announced, const struct announcement *at,
                                          int64_t now_ns) {
    if (!announced->all)
        return NULL;
    const int64_t since_ns = now_ns - ANNOUNCED_KEPT_S * INT64_C(1000000000);
    for (at = at ? at + 1 : announced->all; at < announced->all + ANNOUNCED_MOST; at++)
        if (at->sent_ns > 0 && at->sent_ns >= since_ns)
            return at;
    return NULL;
}

void announced_free(struct announced *announced) { free(announced->all); }
