#define _GNU_SOURCE
#include "doors.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum { BUFFER_BYTES = 2 << 20 };

bool doors_address(int fd, const char *host, unsigned short port, struct sockaddr_storage *out) {
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    memset(out, 0, sizeof *out);
    struct in_addr plain;
    if (!port || getsockname(fd, (struct sockaddr *)&own, &length) != 0 ||
        inet_pton(AF_INET, host, &plain) != 1)
        return false;
    if (own.ss_family == AF_INET) {
        struct sockaddr_in *ipv4 = (void *)out;
        *ipv4 = (struct sockaddr_in){AF_INET, htons(port), plain, {0}};
    } else if (own.ss_family == AF_INET6) {
        struct sockaddr_in6 *mapped = (void *)out;
        mapped->sin6_family = AF_INET6;
        mapped->sin6_port = htons(port);
        memset(&mapped->sin6_addr.s6_addr[10], 0xff, 2);
        memcpy(&mapped->sin6_addr.s6_addr[12], &plain, 4);
    }
    return out->ss_family != AF_UNSPEC;
}

void doors_buffers(int fd) {
    const int bytes = BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}
