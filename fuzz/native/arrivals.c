/* What comes in on a socket of libtoxcore's and through doors: early datagrams are handed out once more, and only as
 * early.h says; through a door comes and goes only who it is for; of what nodes tell, what is watched is kept. */
#define _GNU_SOURCE
#include "boxhook.h"
#include "early.h"
#include "fake_net.h"
#include "overheard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    OWN_FD = 10, /* the first that fake_net.c gives */
    FIRST_DOOR = 100,
    DOORS = 3,
    PLACES = 5,
    KEYS = 4,
    MOST = 1500,
    HEAD = 37, /* bytes: kind, a key, the number of the datagram */
    LARGEST = 1600,
    REQUEST = 113, /* for nodes */
    PING_RESPONSE = 1,
    GET_NODES = 2,
    SEND_NODES = 4,
    DATA = 27,
    LATER_NS = 20000000, /* that the clock may go on meanwhile */
};

static struct came {
    size_t length;
    int fd;
    uint8_t kind, key, place;
    unsigned times; /* handed out */
    bool tried;     /* to be opened by libtoxcore */
    bool may_again;
    int64_t at_ns;
} came[MOST];

static netio_owner *owner;
static size_t came_many, foreign, empty, handed_out;
static uint8_t door_place[DOORS]; /* 0: it is closed; else one more than the place */
static bool asked_from[PLACES], closed_a_door, network_is_good;
static struct came *last; /* handed out */
static struct heard expected[OVERHEARD_MOST];
static size_t expected_many;
static size_t sent_to[PLACES];

static struct sockaddr_in at_place(uint8_t place) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)(1000 + place / 2)),
                                .sin_addr = {htonl(0x0a000001u + place % 2)}};
}

static uint8_t place_of(const struct sockaddr *from) {
    const struct sockaddr_in *ipv4 = (const void *)from;
    return (uint8_t)((ntohs(ipv4->sin_port) - 1000) * 2 + (int)(ntohl(ipv4->sin_addr.s_addr) - 0x0a000001u));
}

static uint8_t byte_at(size_t serial, size_t at) { return (uint8_t)(serial * 13 + at * 5 + at / 256); }

/* -- libtoxcore's boxes */

uint64_t boxhook_opened;
_Thread_local void (*boxhook_next_text)(const uint8_t *text, size_t length);
_Thread_local struct boxhook_sealed boxhook_sealed;
const char *boxhook_install(const void *address) { return NULL; }
const char *boxhook_kernel(void) { return "one"; }
static void (*sealing)(const uint8_t *text);
void boxhook_on_sealing(size_t length, void (*call)(const uint8_t *text)) {
    if (length == OVERHEARD_REQUEST_BYTES)
        sealing = call;
}

/* -- the kernel */

static void write_datagram(uint8_t *into, size_t serial) {
    const struct came *each = &came[serial];
    uint8_t head[HEAD] = {each->kind, each->key};
    for (size_t at = 0; at < each->length; at++)
        into[at] = byte_at(serial, at);
    head[33] = (uint8_t)(serial >> 8);
    head[34] = (uint8_t)serial;
    memcpy(into, head, HEAD);
}

ssize_t fake_recvmsg(int fd, struct msghdr *message, int flags) {
    static const uint8_t kinds[] = {0, PING_RESPONSE, GET_NODES, GET_NODES, SEND_NODES, DATA, DATA, DATA};
    int error = network_is_good ? 0 : script_error();
    uint32_t many = 1 + below(&script, 4), shape = below(&script, 8);
    if (error || script.left == 0 || came_many + many > MOST) {
        errno = error ? error : EAGAIN;
        return -1;
    }
    struct came one = {.fd = fd,
                       .kind = kinds[below(&script, sizeof kinds)],
                       .key = (uint8_t)(1 + below(&script, KEYS)),
                       .place = (uint8_t)below(&script, PLACES)};
    one.length = shape < 4   ? 120
                 : shape < 6 ? HEAD + number(&script, 1)
                             : EARLY_LONGEST - 3 + below(&script, 8);
    if (fd >= FIRST_DOOR && door_place[fd - FIRST_DOOR] != one.place + 1)
        foreign += many;
    uint8_t *into = message->msg_iov->iov_base;
    for (uint32_t at = 0; at < many; at++) {
        came[came_many] = one;
        write_datagram(into + at * one.length, came_many++);
    }
    struct sockaddr_in from = at_place(one.place);
    memcpy(message->msg_name, &from, sizeof from);
    message->msg_namelen = sizeof from;
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int size = (int)one.length;
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_GRO;
    header->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(header), &size, sizeof size);
    message->msg_controllen = CMSG_SPACE(sizeof size);
    return (ssize_t)(many * one.length);
}

ssize_t fake_recvfrom(int fd, void *out, size_t room, int flags, struct sockaddr *from, socklen_t *length) {
    errno = EAGAIN;
    return -1;
}

static int door_for(uint8_t place) {
    for (int door = 0; door < DOORS; door++)
        if (door_place[door] == place + 1)
            return FIRST_DOOR + door;
    return OWN_FD;
}

ssize_t fake_sendmsg(int fd, const struct msghdr *message, int flags) {
    uint8_t place = place_of(message->msg_name), *data = message->msg_iov->iov_base;
    size_t length = message->msg_iov->iov_len;
    CHECK(place < PLACES && fd == door_for(place));
    for (size_t at = 0; at < length; at++)
        CHECK(data[at] == place || data[at] == GET_NODES);
    sent_to[place] -= length;
    return (ssize_t)length;
}

ssize_t fake_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
                    socklen_t room) {
    struct iovec piece = {(void *)data, length};
    struct msghdr message = {.msg_name = (void *)to, .msg_iov = &piece, .msg_iovlen = 1};
    return fake_sendmsg(fd, &message, flags);
}

ssize_t fake_send(int fd, const void *data, size_t length, int flags) { return (ssize_t)length; }
ssize_t fake_recv(int fd, void *out, size_t room, int flags) { return 0; }

/* -- libtoxcore */

static bool is_watched(const uint8_t *key) { return sightings_watched(netio_sightings(owner), key); }

/* Asks a place for nodes; the answer has to have the number of the request. */
static void ask(uint8_t place, const uint8_t *asked_number) {
    uint8_t text[OVERHEARD_REQUEST_BYTES] = {0}, data[REQUEST];
    struct sockaddr_in to = at_place(place);
    memcpy(text + SIGHTINGS_KEY_BYTES, asked_number, OVERHEARD_NUMBER_BYTES);
    sealing(text);
    memset(data, place, sizeof data);
    data[0] = GET_NODES;
    sent_to[place] += sizeof data;
    CHECK(netio_hook_sendto(OWN_FD, data, REQUEST, 0, (struct sockaddr *)&to, sizeof to) == REQUEST);
}

/* An answer, mostly to a request, whose nodes are right as often as not, and what is to be kept of it. */
static void open_answer(const struct came *answer) {
    static uint16_t requests;
    uint8_t asked_number[OVERHEARD_NUMBER_BYTES] = {0xcd, (uint8_t)(requests >> 8), (uint8_t)requests, 0xce};
    requests++;
    uint32_t asked = below(&script, 8); /* 0: nobody, 1: another place */
    if (asked)
        ask(asked == 1 ? (uint8_t)((answer->place + 1) % PLACES) : answer->place, asked_number);
    uint8_t nodes = (uint8_t)(below(&script, 8) ? below(&script, 5) : number(&script, 1));
    size_t cut = below(&script, 4) ? 0 : number(&script, 1), length = 1;
    uint8_t text[1 + 5 * 64 + 8] = {nodes};
    bool right = nodes <= 4 && asked > 1;
    struct sockaddr_in teller = at_place(answer->place);
    struct heard found[4];
    size_t found_many = 0, ends[5] = {0};
    for (uint8_t at = 0; at < nodes && at < 4; at++) {
        static const uint8_t types[] = {2, 2, 2, 10, 0, 130};
        uint8_t type = types[below(&script, sizeof types)], key = (uint8_t)below(&script, KEYS + 2);
        uint16_t port = (uint16_t)number(&script, 2);
        size_t address = type == 10 ? 16 : 4;
        text[length] = type;
        memset(text + length + 1, port & 0xff, address);
        memcpy(text + length + 1 + address, &port, 2);
        text[length + 3 + address] = key;
        length += 3 + address + SIGHTINGS_KEY_BYTES;
        right = right && (type == 2 || type == 10);
        if (right && type == 2 && is_watched(text + length - SIGHTINGS_KEY_BYTES)) {
            struct heard *heard = &found[found_many];
            memset(heard, 0, sizeof *heard);
            heard->key[0] = key;
            heard->at.sin_port = port;
            memset(&heard->at.sin_addr, port & 0xff, 4);
            memcpy(&heard->teller, &teller, sizeof teller);
            ends[found_many++] = length;
        }
    }
    length -= cut < length - 1 ? cut : length - 1;
    for (size_t at = 0; at < found_many && expected_many < OVERHEARD_MOST; at++)
        if (ends[at] <= length)
            expected[expected_many++] = found[at];
    memcpy(text + length, asked_number, sizeof asked_number);
    length += sizeof asked_number;
    uint8_t *copy = malloc(length);
    memcpy(copy, text, length);
    void (*call)(const uint8_t *, size_t) = boxhook_next_text;
    boxhook_next_text = NULL;
    call(copy, length);
    free(copy);
}

/* What was ignored, and may be tried again: an answer comes from the same place. */
static void answered(const struct came *answer) {
    for (size_t at = 0; at < came_many; at++)
        if (came[at].times == 1 && !came[at].tried && came[at].place == answer->place &&
            answer->at_ns - came[at].at_ns <= 1000000000 + LATER_NS)
            came[at].may_again = true;
}

static void handle(const uint8_t *data, size_t length, const struct sockaddr *from) {
    size_t serial = (size_t)data[33] << 8 | data[34];
    struct came *each = &came[serial];
    CHECK(length >= HEAD && serial < came_many && length == each->length);
    CHECK(data[0] == each->kind && data[1] == each->key && place_of(from) == each->place);
    for (size_t at = HEAD; at < length; at++)
        CHECK(data[at] == byte_at(serial, at));
    if (each->fd >= FIRST_DOOR && !closed_a_door)
        CHECK(door_place[each->fd - FIRST_DOOR] == each->place + 1);
    if (each->times == 1)
        CHECK(each->kind == DATA && length <= EARLY_LONGEST && !each->tried && each->may_again &&
              asked_from[each->place]);
    CHECK(++each->times <= 2);
    if (each->times == 2)
        return;
    handed_out++;
    last = each;
    each->at_ns = network_ns();
    asked_from[each->place] |= (each->kind == 0 || each->kind == GET_NODES) && length >= 82;
    if (each->kind == PING_RESPONSE || each->kind == SEND_NODES)
        answered(each);
    if (boxhook_next_text) {
        CHECK(each->kind == SEND_NODES);
        open_answer(each);
    } else if (below(&script, 4) == 0) {
        each->tried = true;
        boxhook_opened++;
    }
}

static bool receive(void) {
    static uint8_t buffers[2][LARGEST];
    uint8_t *out = buffers[below(&script, 16) == 0];
    struct sockaddr_storage from;
    socklen_t from_length = sizeof from;
    if (last) /* only now it is kept */
        last->at_ns = network_ns();
    last = NULL;
    ssize_t length = netio_hook_recvfrom(OWN_FD, out, LARGEST, 0, (struct sockaddr *)&from, &from_length);
    if (length > 0)
        handle(out, (size_t)length, (struct sockaddr *)&from);
    empty += length == 0;
    return length >= 0;
}

static void send_one(void) {
    uint8_t place = (uint8_t)below(&script, PLACES), data[700];
    struct sockaddr_in to = at_place(place);
    size_t length = 1 + below(&script, sizeof data);
    memset(data, place, sizeof data);
    sent_to[place] += length;
    CHECK(netio_hook_sendto(OWN_FD, data, length, 0, (struct sockaddr *)&to, sizeof to) == (ssize_t)length);
}

static void open_or_close(void) {
    int door = (int)below(&script, DOORS);
    uint8_t place = (uint8_t)below(&script, PLACES);
    struct sockaddr_in at = at_place(place);
    char host[INET_ADDRSTRLEN];
    if (door_place[door]) {
        netio_close_door(owner, FIRST_DOOR + door);
        door_place[door] = 0;
        closed_a_door = true;
        return;
    }
    inet_ntop(AF_INET, &at.sin_addr, host, sizeof host);
    netio_flush(owner); /* what is on its way goes by the old one */
    bool is_new = door_for(place) == OWN_FD;
    CHECK(netio_open_door(owner, FIRST_DOOR + door, below(&script, 8) ? host : "10.0.0.256", 0) == false);
    CHECK(netio_open_door(owner, FIRST_DOOR + door, host, ntohs(at.sin_port)) == is_new);
    if (is_new)
        door_place[door] = (uint8_t)(place + 1);
}

static void take_heard(void) {
    struct heard heard;
    while (overheard_take(netio_overheard(owner), &heard)) {
        CHECK(expected_many > 0);
        const struct heard *same = &expected[--expected_many];
        CHECK(memcmp(same->key, heard.key, sizeof heard.key) == 0);
        CHECK(same->at.sin_port == heard.at.sin_port && same->at.sin_addr.s_addr == heard.at.sin_addr.s_addr);
        CHECK(sightings_same_place(&same->teller, (struct sockaddr *)&heard.teller));
    }
    CHECK(expected_many == 0);
}

static void watch(void) {
    uint8_t key[SIGHTINGS_KEY_BYTES] = {(uint8_t)(1 + below(&script, KEYS))};
    struct sockaddr_storage from;
    CHECK(sightings_watch(netio_sightings(owner), key));
    if (below(&script, 4) == 0)
        sightings_forget(netio_sightings(owner), key);
    while (sightings_take(netio_sightings(owner), key, &from))
        CHECK(asked_from[place_of((struct sockaddr *)&from)]);
}

static void step(netio_owner **previous) {
    switch (below(&script, 16)) {
    case 0: pass_ns((int64_t)number(&script, 2) * 50000); break;
    case 1: watch(); break;
    case 2: open_or_close(); break;
    case 3: take_heard(); break;
    case 4:
        netio_leave(owner, *previous);
        *previous = netio_enter(owner);
        break;
    case 5: send_one(); break;
    default: receive();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    owner = begin_network(data, size);
    netio_overhear();
    came_many = foreign = empty = handed_out = expected_many = 0;
    last = NULL;
    memset(door_place, 0, sizeof door_place);
    memset(asked_from, 0, sizeof asked_from);
    memset(sent_to, 0, sizeof sent_to);
    closed_a_door = network_is_good = false;
    netio_owner *previous = netio_enter(owner);
    CHECK(netio_hook_socket(AF_INET, SOCK_DGRAM, 0) == OWN_FD);
    while (script.left && came_many + 4 < MOST)
        step(&previous);
    script.left = 0;
    network_is_good = true;
    for (int turn = 0; turn < 5; turn++) {
        while (receive())
            ;
        netio_leave(owner, previous);
        previous = netio_enter(owner);
    }
    take_heard();
    netio_flush(owner);
    CHECK(closed_a_door || handed_out + empty + netio_counters.unfair == came_many);
    CHECK(closed_a_door || empty <= foreign);
    for (int place = 0; place < PLACES; place++)
        CHECK(sent_to[place] == 0);
    netio_leave(owner, previous);
    netio_hook_close(OWN_FD);
    end_network(owner);
    return 0;
}
