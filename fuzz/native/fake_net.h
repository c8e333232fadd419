/* The network as a script tells it: the system calls of _native/net by these names, by the options that this is
 * built with (fuzz/native/__init__.py). */
#ifndef TOXVPN_FUZZ_FAKE_NET_H
#define TOXVPN_FUZZ_FAKE_NET_H

#include "hooks.h"
#include "input.h"
#include "kernel.h"

/* The script of this input. */
extern struct input script;

/* The errors that a call may fail with; 0: it does not. */
int script_error(void);

/* The network's clock, and lets time pass. */
int64_t network_ns(void);
void pass_ns(int64_t time_ns);

/* Ends what all targets of the network share: the owner and its sockets. */
netio_owner *begin_network(const uint8_t *data, size_t size);
void end_network(netio_owner *owner);

#endif
