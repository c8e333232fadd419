#define _GNU_SOURCE
#include "gather.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* Whether it is all there: the kernel cuts the last one short where a socket has been told to give more. */
static bool is_whole(const struct cmsghdr *header, size_t length) {
    return header->cmsg_len >= CMSG_LEN(length);
}

static void keep_control(struct gathered *got, const struct cmsghdr *header, size_t length) {
    if (!is_whole(header, length))
        return;
    got->level = header->cmsg_level;
    got->type = header->cmsg_type;
    got->control_length = length;
    memcpy(got->control, CMSG_DATA(header), length);
}

static void read_control(struct gathered *got, struct msghdr *message) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO) {
            int size = 0;
            if (is_whole(header, sizeof size))
                memcpy(&size, CMSG_DATA(header), sizeof size);
            if (size > 0 && (size_t)size < got->length)
                got->segment = (size_t)size;
        } else if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            /* the answer leaves from ipi_spec_dst, by whatever interface leads to its destination */
            struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(header);
            if (is_whole(header, sizeof *info)) {
                info->ipi_ifindex = 0;
                info->ipi_addr.s_addr = 0;
            }
            keep_control(got, header, sizeof *info);
        } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            keep_control(got, header, sizeof(struct in6_pktinfo));
        }
    }
}

/* False with errno set, as recvmsg(2). */
static bool receive(int fd, uint8_t *at, struct gathered *got) {
    struct iovec piece = {at, GATHER_LARGEST};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct msghdr message = {.msg_name = &got->from,
                             .msg_namelen = sizeof got->from,
                             .msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    memset(got, 0, sizeof *got); /* addresses are compared with what stands behind them */
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
    if (length < 0)
        return false;
    got->length = got->segment = (size_t)length;
    read_control(got, &message);
    got->many = got->segment ? (got->length + got->segment - 1) / got->segment : 1;
    return true;
}

static bool is_of_one_flow(const struct gathered *a, const struct gathered *b) {
    return memcmp(&a->from, &b->from, sizeof a->from) == 0 && a->control_length == b->control_length &&
           memcmp(a->control, b->control, a->control_length) == 0;
}

/* Whether `more`, which lies right behind `held`, can be the rest of it. */
static bool goes_on(const struct gathered *held, const struct gathered *more) {
    return more->segment > 0 && held->segment > 0 && held->length % held->segment == 0 &&
           (more->segment == held->segment || (more->many == 1 && more->segment < held->segment)) &&
           held->length + more->length <= GATHER_BYTES && held->many + more->many <= GATHER_DATAGRAMS &&
           is_of_one_flow(held, more);
}

size_t gather(int fd, uint8_t *buffer, struct gathered *batches, int *error) {
    size_t count = 0, end = 0;
    *error = 0;
    while (end <= GATHER_BYTES && count < GATHER_BATCHES) {
        struct gathered *got = &batches[count], *held = got - 1;
        if (!receive(fd, buffer + end, got)) {
            *error = errno;
            break;
        }
        got->start = end;
        end += got->length;
        if (count && goes_on(held, got)) {
            held->length += got->length;
            held->many += got->many;
        } else {
            count++;
        }
    }
    return count;
}
