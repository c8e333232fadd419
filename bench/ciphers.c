/* XSalsa20's stream and Poly1305 by kept libraries and by our own kernels, by turns: what decision 16 compares. To run it:
 *
 *     apt install libsodium-dev libssl-dev libgcrypt20-dev nettle-dev
 *     c=toxvpn/_native/crypto
 *     cc -O2 -fno-strict-aliasing -I $c bench/ciphers.c $c/{box,kernels,subkeys}.c $c/{salsa20,poly1305}_*.c \
 *         -o ciphers -lsodium -lcrypto -lgcrypt -lnettle && taskset -c 1 ./ciphers
 *
 * Prints ns of processor time a packet: the least and the median of many rounds. Contexts are kept; nonces, and the keys
 * of Poly1305, are set for each packet. A library whose bytes differ from libsodium's is named. */
#include "box.h"

#include <gcrypt.h>
#include <nettle/poly1305.h>
#include <nettle/salsa20.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LARGE = 1372, SMALL = 200, STREAM_MORE = 32, ROUNDS = 61, CALLS = 2000 };

struct rival {
    const char *name;
    void (*stream)(uint8_t *text, size_t length, const uint8_t key[32],
                   const uint8_t nonce[8]); /* and the xor */
    void (*mac)(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]);
};

static const struct kernel *kernel;
static EVP_MAC_CTX *openssl;
static gcry_mac_hd_t gcrypt_mac;
static gcry_cipher_hd_t gcrypt_cipher;
static struct salsa20_ctx nettle_cipher;
static unsigned __int128 nettle_summand;

typedef uint8_t chunk __attribute__((vector_size(32), aligned(1), may_alias));

static void own_stream(uint8_t *text, size_t length, const uint8_t key[32], const uint8_t nonce[8]) {
    uint8_t bytes[BOX_LONGEST];
    uint32_t subkey[8];
    size_t i = 0;
    memcpy(subkey, key, sizeof subkey);
    kernel->keystream(bytes, length, subkey, nonce);
    for (; i + sizeof(chunk) <= length; i += sizeof(chunk))
        *(chunk *)(text + i) ^= *(const chunk *)(bytes + i);
    for (; i < length; i++)
        text[i] ^= bytes[i];
}

static void own_mac(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
    kernel->mac(tag, text, length, key);
}

static void sodium_stream(uint8_t *text, size_t length, const uint8_t key[32], const uint8_t nonce[8]) {
    crypto_stream_salsa20_xor(text, text, length, nonce, key);
}

static void sodium_mac(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
    crypto_onetimeauth_poly1305(tag, text, length, key);
}

static void openssl_mac(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
    size_t written;
    EVP_MAC_init(openssl, key, 32, NULL);
    EVP_MAC_update(openssl, text, length);
    EVP_MAC_final(openssl, tag, &written, 16);
}

static void gcrypt_stream(uint8_t *text, size_t length, const uint8_t key[32], const uint8_t nonce[8]) {
    (void)key; /* set once: all packets of a connection have one */
    gcry_cipher_setiv(gcrypt_cipher, nonce, 8);
    gcry_cipher_encrypt(gcrypt_cipher, text, length, NULL, 0);
}

static void gcrypt_tag(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
    size_t written = 16;
    gcry_mac_setkey(gcrypt_mac, key, 32);
    gcry_mac_write(gcrypt_mac, text, length);
    gcry_mac_read(gcrypt_mac, tag, &written);
}

static void nettle_stream(uint8_t *text, size_t length, const uint8_t key[32], const uint8_t nonce[8]) {
    (void)key;
    salsa20_set_nonce(&nettle_cipher, nonce);
    salsa20_crypt(&nettle_cipher, length, text, text);
}

/* nettle's door is Poly1305-AES. For one AES key and nonce its summand is a constant, to be taken off again. */
static void nettle_mac(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
    static const uint8_t nonce[16];
    struct poly1305_aes_ctx context;
    uint8_t aes_and_r[32] = {0};
    unsigned __int128 sum, summand;
    memcpy(aes_and_r + 16, key, 16);
    memcpy(&summand, key + 16, 16);
    poly1305_aes_set_key(&context, aes_and_r);
    poly1305_aes_set_nonce(&context, nonce);
    poly1305_aes_update(&context, length, text);
    poly1305_aes_digest(&context, 16, (uint8_t *)&sum);
    sum += summand - nettle_summand;
    memcpy(tag, &sum, 16);
}

static struct rival rivals[] = {{"libsodium", sodium_stream, sodium_mac},
                                {"own", own_stream, own_mac},
                                {"OpenSSL", NULL, openssl_mac},
                                {"libgcrypt", gcrypt_stream, gcrypt_tag},
                                {"nettle", nettle_stream, nettle_mac}};

enum { RIVALS = sizeof rivals / sizeof *rivals, WORKS = 4 };

static void set_up(const uint8_t key[32]) {
    const uint8_t none[32] = {0};
    for (const struct kernel *const *each = kernels; *each && !kernel; each++)
        if ((*each)->usable())
            kernel = *each;
    if (!kernel)
        kernel = &kernel_portable;
    if (sodium_init() < 0)
        exit(1);
    rivals[1].name = kernel->name;
    openssl = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "POLY1305", NULL));
    gcry_check_version(NULL);
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    gcry_mac_open(&gcrypt_mac, GCRY_MAC_POLY1305, 0, NULL);
    gcry_cipher_open(&gcrypt_cipher, GCRY_CIPHER_SALSA20, GCRY_CIPHER_MODE_STREAM, 0);
    gcry_cipher_setkey(gcrypt_cipher, key, 32);
    salsa20_256_set_key(&nettle_cipher, key);
    nettle_mac((uint8_t *)&nettle_summand, none, 0, none);
}

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double ns_of(const struct rival *rival, int work, uint8_t *text, uint8_t key[32]) {
    size_t length = work % 2 ? SMALL : LARGE;
    uint8_t nonce[8] = {0}, tag[16];
    double start = now_ns();
    for (int i = 0; i < CALLS; i++) {
        memcpy(nonce, &i, sizeof i);
        if (work >= 2)
            rival->mac(tag, text, length, key);
        else if (rival->stream)
            rival->stream(text, length + STREAM_MORE, key, nonce);
    }
    return (now_ns() - start) / CALLS;
}

static void compare_bytes(const struct rival *rival, const uint8_t key[32]) {
    uint8_t texts[2][LARGE] = {{0}}, tags[2][16], nonce[8] = {1, 2, 3};
    rivals[0].stream(texts[0], LARGE, key, nonce);
    rivals[0].mac(tags[0], texts[0], LARGE, key);
    rival->mac(tags[1], texts[0], LARGE, key);
    if (rival->stream)
        rival->stream(texts[1], LARGE, key, nonce);
    if (memcmp(tags[0], tags[1], 16) || (rival->stream && memcmp(texts[0], texts[1], LARGE)))
        printf("%s differs from libsodium\n", rival->name);
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

int main(void) {
    static double took[RIVALS][WORKS][ROUNDS];
    static uint8_t text[BOX_LONGEST];
    uint8_t key[32];
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)(7 * i + 1);
    set_up(key);
    for (int rival = 0; rival < RIVALS; rival++)
        compare_bytes(&rivals[rival], key);
    for (int round = 0; round < ROUNDS; round++)
        for (int rival = 0; rival < RIVALS; rival++)
            for (int work = 0; work < WORKS; work++)
                took[rival][work][round] = ns_of(&rivals[rival], work, text, key);
    printf("%-12s %18s %18s %18s %18s\n", "", "stream 1372", "stream 200", "Poly1305 1372", "Poly1305 200");
    for (int rival = 0; rival < RIVALS; rival++) {
        printf("%-12s", rivals[rival].name);
        for (int work = 0; work < WORKS; work++) {
            double *times = took[rival][work];
            qsort(times, ROUNDS, sizeof *times, ascending);
            if (work < 2 && !rivals[rival].stream)
                printf(" %18s", "-");
            else
                printf(" %8.0f /%8.0f", times[0], times[ROUNDS / 2]);
        }
        puts("");
    }
    return 0;
}
