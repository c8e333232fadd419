/* libtoxcore encrypts a packet by crypto_box_afternm and decrypts it by crypto_box_open_afternm. Here both go to
 * our kernel, and to libsodium's own functions for lengths that are not a packet's. */
#define _GNU_SOURCE
#include "boxhook.h"
#include "box.h"
#include "choice.h"
#include "importpatch.h"

#include <dlfcn.h>
#include <string.h>

static const struct kernel *in_force;
static sodium_box *sodium_seal, *sodium_open;
_Thread_local void (*boxhook_next_text)(const uint8_t *text, size_t length);
_Thread_local struct boxhook_sealed boxhook_sealed;
uint64_t boxhook_opened;
static struct told {
    unsigned long long length; /* 0: nobody */
    void (*call)(const uint8_t *text);
} told[BOXHOOK_TOLD];

static bool is_packet(unsigned long long length) { return length >= BOX_ZEROS && length <= BOX_LONGEST; }

static void tell(const uint8_t *text, size_t length) {
    void (*call)(const uint8_t *, size_t) = boxhook_next_text;
    boxhook_next_text = NULL;
    if (text)
        call(text, length);
}

static void note_sealed(const uint8_t *text, size_t length) {
    boxhook_sealed.length = length >= BOXHOOK_LAST ? length : 0;
    if (boxhook_sealed.length == 0)
        return;
    boxhook_sealed.first = text[0];
    memcpy(boxhook_sealed.last, text + length - BOXHOOK_LAST, BOXHOOK_LAST);
}

int boxhook_afternm(uint8_t *box, const uint8_t *text, unsigned long long length, const uint8_t *nonce,
                    const uint8_t *key) {
    if (!is_packet(length))
        return sodium_seal(box, text, length, nonce, key);
    for (size_t i = 0; i < BOXHOOK_TOLD; i++)
        if (length == told[i].length)
            told[i].call(text + BOX_ZEROS);
    if (boxhook_sealed.wanted)
        note_sealed(text + BOX_ZEROS, (size_t)length - BOX_ZEROS);
    box_seal(in_force, box, text, (size_t)length, nonce, key);
    return 0;
}

int boxhook_open_afternm(uint8_t *text, const uint8_t *box, unsigned long long length, const uint8_t *nonce,
                         const uint8_t *key) {
    boxhook_opened++;
    if (!is_packet(length))
        return sodium_open(text, box, length, nonce, key);
    bool opened = box_open(in_force, text, box, (size_t)length, nonce, key);
    if (boxhook_next_text)
        tell(opened ? text + BOX_ZEROS : NULL, (size_t)length - BOX_ZEROS);
    return opened ? 0 : -1;
}

void boxhook_on_sealing(size_t length, void (*call)(const uint8_t *text)) {
    size_t i = 0;
    while (i < BOXHOOK_TOLD - 1 && told[i].length && told[i].length != BOX_ZEROS + length)
        i++;
    told[i] = (struct told){BOX_ZEROS + length, call};
}

const char *boxhook_install(const void *address) {
    static const struct import imports[] = {{"crypto_box_afternm", boxhook_afternm},
                                            {"crypto_box_open_afternm", boxhook_open_afternm}};
    void *library = importpatch_library(address);
    const char *why;
    if (!library)
        return "libtoxcore was not found as a shared library";
    sodium_seal = (sodium_box *)dlsym(library, "crypto_box_afternm");
    sodium_open = (sodium_box *)dlsym(library, "crypto_box_open_afternm");
    if (!sodium_seal || !sodium_open)
        return "libsodium's own functions were not found";
    in_force = choose_kernel(kernels, sodium_seal, sodium_open, &why);
    if (!in_force)
        return why;
    why = importpatch_apply(address, imports, 2);
    if (why)
        in_force = NULL;
    return why;
}

const char *boxhook_kernel(void) { return in_force ? in_force->name : NULL; }
