/* Boxes of any kernel. The first 32 bytes of the key stream are the key of the tag; the rest hides the text. */
#define _GNU_SOURCE
#include "box.h"
#include "subkeys.h"

#include <string.h>

struct stream {
    uint8_t bytes[BOX_LONGEST];
};

_Static_assert(BOX_LONGEST % KEYSTREAM_STEP == 0, "a kernel writes whole steps");

static void make(struct stream *stream, const struct kernel *kernel, size_t length, const uint8_t nonce[24],
                 const uint8_t key[32]) {
    kernel->keystream(stream->bytes, length, subkey_of(key, nonce), nonce + SUBKEY_INPUT);
}

/* `to` may be `from`. */
static void hide(uint8_t *to, const uint8_t *from, const struct kernel *kernel, const struct stream *stream,
                 size_t length) {
    kernel->mix(to + BOX_ZEROS, from + BOX_ZEROS, stream->bytes + BOX_ZEROS, length - BOX_ZEROS);
}

static bool equal_tags(const uint8_t a[BOX_TAG], const uint8_t b[BOX_TAG]) {
    uint64_t left[2], right[2];
    memcpy(left, a, sizeof left);
    memcpy(right, b, sizeof right);
    return ((left[0] ^ right[0]) | (left[1] ^ right[1])) == 0;
}

void box_seal(const struct kernel *kernel, uint8_t *box, const uint8_t *text, size_t length,
              const uint8_t nonce[24], const uint8_t key[32]) {
    struct stream stream;
    make(&stream, kernel, length, nonce, key);
    hide(box, text, kernel, &stream, length);
    memset(box, 0, BOX_ZEROS - BOX_TAG);
    kernel->mac(box + BOX_ZEROS - BOX_TAG, box + BOX_ZEROS, length - BOX_ZEROS, stream.bytes);
    explicit_bzero(stream.bytes, length);
}

bool box_open(const struct kernel *kernel, uint8_t *text, const uint8_t *box, size_t length,
              const uint8_t nonce[24], const uint8_t key[32]) {
    struct stream stream;
    uint8_t tag[BOX_TAG];
    make(&stream, kernel, length, nonce, key);
    kernel->mac(tag, box + BOX_ZEROS, length - BOX_ZEROS, stream.bytes);
    bool right = equal_tags(tag, box + BOX_ZEROS - BOX_TAG);
    if (right) {
        hide(text, box, kernel, &stream, length);
        memset(text, 0, BOX_ZEROS);
    }
    explicit_bzero(stream.bytes, length);
    return right;
}
