/* Whether libtoxcore knew a datagram's place shows in what it does with it: it decrypts what a peer sends from a known
 * one, and nothing from others. So nothing is looked up for packets on a path that works. */
#include "early.h"
#include "../crypto/boxhook.h"
#include "kernel.h"

#include <stdlib.h>
#include <string.h>

enum { PING_RESPONSE = 1, SEND_NODES = 4, CRYPTO_DATA = 27 }; /* libtoxcore's NET_PACKET_… */
#define KEPT_NS INT64_C(1000000000)

struct early_kept {
    int64_t at_ns;
    size_t length; /* 0: none, or handed out */
    bool released;
    socklen_t from_length;
    struct sockaddr_storage from;
    uint8_t data[EARLY_LONGEST];
};

static void release(struct early *early, const struct sockaddr *from) {
    const int64_t since_ns = netio_now_ns() - KEPT_NS;
    for (size_t i = 0; i < EARLY_MOST; i++) {
        struct early_kept *kept = &early->kept[i];
        if (kept->length && !kept->released && kept->at_ns >= since_ns &&
            sightings_same_place(&kept->from, from)) {
            kept->released = true;
            early->released++;
        }
    }
}

void early_note(struct early *early, const void *out, size_t length, const struct sockaddr *from,
                socklen_t from_length) {
    early->out = NULL;
    if (!length || !from || from_length > sizeof early->from || !boxhook_kernel())
        return;
    const uint8_t kind = *(const uint8_t *)out;
    if (kind == CRYPTO_DATA && length <= EARLY_LONGEST) {
        early->out = out;
        early->length = length;
        memcpy(&early->from, from, from_length);
        early->from_length = from_length;
        early->opened = boxhook_opened;
    } else if (early->kept && (kind == PING_RESPONSE || kind == SEND_NODES)) {
        release(early, from);
    }
}

static void keep(struct early *early) {
    if (!early->kept)
        early->kept = calloc(EARLY_MOST, sizeof *early->kept);
    if (!early->kept)
        return;
    struct early_kept *kept = &early->kept[early->next];
    early->next = (early->next + 1) % EARLY_MOST;
    early->released -= kept->length && kept->released;
    kept->at_ns = netio_now_ns();
    kept->length = early->length;
    kept->released = false;
    kept->from = early->from;
    kept->from_length = early->from_length;
    memcpy(kept->data, early->out, early->length);
}

void early_look_back(struct early *early, struct sightings *sightings, const void *out) {
    const bool ignored = early->out && early->out == out && boxhook_opened == early->opened;
    if (ignored && sightings_doubt(sightings, (const struct sockaddr *)&early->from))
        keep(early);
    early->out = NULL;
}

/* The oldest first, which is the next to be overwritten. */
static struct early_kept *oldest(struct early *early) {
    for (size_t i = 0; i < EARLY_MOST; i++) {
        struct early_kept *kept = &early->kept[(early->next + i) % EARLY_MOST];
        if (kept->length && kept->released)
            return kept;
    }
    return NULL;
}

ssize_t early_take(struct early *early, void *out, size_t room, struct sockaddr *from,
                   socklen_t *from_length) {
    struct early_kept *kept = early->released ? oldest(early) : NULL;
    if (!kept)
        return -1;
    const size_t length = kept->length < room ? kept->length : room;
    memcpy(out, kept->data, length);
    if (from && from_length) {
        memcpy(from, &kept->from, *from_length < kept->from_length ? *from_length : kept->from_length);
        *from_length = kept->from_length;
    }
    kept->length = 0;
    early->released--;
    return (ssize_t)length;
}

void early_free(struct early *early) { free(early->kept); }
