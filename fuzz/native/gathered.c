/* What a server reads of a socket in batches: every datagram that the kernel gave is in one of them, whole and in order,
 * with what its answer needs; a batch has datagrams of one flow and one length, and as many as one call takes. */
#define _GNU_SOURCE
#include "gather.h"
#include "input.h"

#include <errno.h>
#include <netinet/in.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { FD = 7, PIECES = 4096 };

/* What the kernel gave, and is not found in a batch yet. */
struct piece {
    size_t length;
    uint8_t first, last, flow, asked;
    unsigned message;
};

static struct input script;
static struct piece given[PIECES];
static size_t given_many, found;
static uint8_t serial;
static unsigned messages;
static bool cut_short; /* control data were, which are then missing */
static bool lied;      /* the kernel, about lengths */
static int ended;

static struct in6_pktinfo info_of(uint8_t asked) {
    struct in6_pktinfo info = {.ipi6_ifindex = 3};
    info.ipi6_addr.s6_addr[15] = asked;
    return info;
}

static struct cmsghdr *add(struct msghdr *message, struct cmsghdr *at, int level, int type, const void *value,
                           size_t length) {
    at->cmsg_level = level;
    at->cmsg_type = type;
    at->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(at), value, length);
    return (struct cmsghdr *)((uint8_t *)at + CMSG_SPACE(length));
}

/* The control data: which address was asked, and how long each datagram is. Returns true where the last one is cut. */
static bool control(struct msghdr *message, int family, uint8_t asked, int size) {
    struct cmsghdr *first = message->msg_control, *at = first, *last = NULL;
    size_t room = message->msg_controllen;
    struct in6_pktinfo six = info_of(asked);
    struct in_pktinfo four = {.ipi_ifindex = 9, .ipi_spec_dst = {asked}, .ipi_addr = {77}};
    if (asked) {
        last = at;
        at = family == AF_INET ? add(message, at, IPPROTO_IP, IP_PKTINFO, &four, sizeof four)
                               : add(message, at, IPPROTO_IPV6, IPV6_PKTINFO, &six, sizeof six);
    }
    if (size) {
        last = at;
        at = add(message, at, IPPROTO_UDP, UDP_GRO, &size, sizeof size);
    }
    message->msg_controllen = (size_t)((uint8_t *)at - (uint8_t *)first);
    CHECK(message->msg_controllen <= room);
    if (last && below(&script, 16) == 0) {
        size_t space = (size_t)((uint8_t *)at - (uint8_t *)last);
        last->cmsg_len -= 1 + below(&script, 4);
        message->msg_controllen -= space - CMSG_ALIGN(last->cmsg_len);
        return cut_short = true;
    }
    return false;
}

ssize_t fake_recvmsg(int fd, struct msghdr *message, int flags) {
    static const int errors[] = {EAGAIN, EAGAIN, EINTR, ECONNREFUSED, ENOMEM};
    uint32_t error = below(&script, 64);
    CHECK(fd == FD && flags == MSG_DONTWAIT && message->msg_iov->iov_len == GATHER_LARGEST);
    if (!script.left || error < sizeof errors / sizeof *errors) {
        errno = ended = script.left ? errors[error] : EAGAIN;
        return -1;
    }
    size_t size = below(&script, 4) ? 1200 : number(&script, 2) % 9000, many = 1 + below(&script, 60);
    size_t length = many > 50 ? 0 : many * size, shorter = below(&script, 8) ? 0 : number(&script, 2);
    uint8_t flow = (uint8_t)below(&script, 4), asked = (uint8_t)(below(&script, 8) % 3);
    int family = flow & 1 ? AF_INET : AF_INET6, said = 0;
    length = length < GATHER_LARGEST ? length : GATHER_LARGEST;
    length -= shorter < length ? shorter : 0;
    if (size < length || below(&script, 2))
        said = (int)size; /* also where one came alone, and 0 where it is empty */
    if (length > size && below(&script, 16) == 0)
        said = (int)number(&script, 2) - 32768, lied = true; /* what the kernel would never say */
    size_t step = said > 0 && (size_t)said < length ? (size_t)said : length;
    uint8_t *into = message->msg_iov->iov_base;
    if (control(message, family, asked, said))
        step = length;
    messages++;
    size_t at = 0;
    do {
        size_t each = length - at < step ? length - at : step;
        memset(into + at, ++serial, each);
        if (each)
            into[at + each - 1] = (uint8_t)(serial ^ 0x55);
        if (given_many < PIECES)
            given[given_many++] =
                (struct piece){each, serial, (uint8_t)(serial ^ 0x55), flow, asked, messages};
        at += each;
    } while (at < length);
    struct sockaddr_in6 from = {.sin6_family = (sa_family_t)family, .sin6_port = flow};
    memcpy(message->msg_name, &from, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof from);
    message->msg_namelen = sizeof from;
    return (ssize_t)length;
}

static void check_control(const struct gathered *batch, const struct piece *piece) {
    if (batch->control_length == 0) {
        CHECK(piece->asked == 0 || cut_short);
    } else if (batch->level == IPPROTO_IP) {
        struct in_pktinfo info;
        CHECK(batch->type == IP_PKTINFO && batch->control_length == sizeof info);
        memcpy(&info, batch->control, sizeof info);
        CHECK(info.ipi_spec_dst.s_addr == piece->asked && !info.ipi_ifindex && !info.ipi_addr.s_addr);
    } else {
        struct in6_pktinfo info = info_of(piece->asked);
        CHECK(batch->type == IPV6_PKTINFO && batch->control_length == sizeof info);
        CHECK(memcmp(batch->control, &info, sizeof info) == 0);
    }
}

static void check(const struct gathered *batch, const uint8_t *buffer) {
    const uint8_t *data = buffer + batch->start;
    size_t at = 0;
    CHECK(batch->start + batch->length <= GATHER_BUFFER);
    CHECK(batch->many == 1 || batch->segment > 0);
    size_t last = found + batch->many - 1;
    if (last < PIECES && given[found].message != given[last].message) /* else it is as it came */
        CHECK(batch->length <= GATHER_BYTES && (lied || batch->many <= GATHER_DATAGRAMS));
    for (size_t each = 0; each < batch->many && found < given_many; each++, found++) {
        const struct piece *piece = &given[found];
        size_t length = batch->length - at < batch->segment ? batch->length - at : batch->segment;
        CHECK(length == piece->length && (each + 1 == batch->many || length == batch->segment));
        CHECK(((const struct sockaddr_in6 *)&batch->from)->sin6_port == piece->flow);
        for (size_t byte = 0; byte + 1 < length; byte++)
            CHECK(data[at + byte] == piece->first);
        CHECK(length == 0 || data[at + length - 1] == piece->last);
        check_control(batch, piece);
        at += length;
    }
    CHECK(at == batch->length || found == PIECES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script = (struct input){data, size};
    cut_short = lied = false;
    uint8_t *buffer = malloc(GATHER_BUFFER);
    struct gathered *batches = calloc(GATHER_BATCHES, sizeof *batches);
    while (script.left) {
        int error;
        given_many = found = 0;
        ended = 0;
        size_t many = gather(FD, buffer, batches, &error);
        CHECK(many <= GATHER_BATCHES && error == ended);
        for (size_t at = 0; at < many; at++) {
            size_t left = given_many - found;
            CHECK(batches[at].many <= left || given_many == PIECES);
            check(&batches[at], buffer);
        }
        CHECK(found == given_many);
    }
    free(buffer);
    free(batches);
    return 0;
}
