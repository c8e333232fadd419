/* Salsa20 of four blocks at a time, for ARM processors of 64 bits, which all have NEON. */
#include "kernels.h"

#ifdef KERNELS_ARM
#define LANES 4
#define TARGET
#define NAME salsa20_neon
#include "salsa20_lanes.h"
#endif
