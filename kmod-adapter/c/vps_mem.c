/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * malloc(9) for Rust.  Never M_WAITOK: the core takes every failure as an
 * answer, a request of hostile size must not be able to wait for ever, and
 * which locks a caller holds cannot be known here.
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kernel.h>
#include <sys/malloc.h>

#include "vps_shim.h"

MALLOC_DEFINE(M_VPS, "vps", "virtual private systems");

/* malloc(9) aligns to the size's power of two up to a page. */
void *
vps_k_malloc(size_t size, size_t align)
{

	if (align > PAGE_SIZE)
		return (NULL);
	return (malloc(roundup2(MAX(size, 1), align), M_VPS, M_NOWAIT));
}

void
vps_k_free(void *ptr)
{

	free(ptr, M_VPS);
}

/*
 * Compilers turn a memcmp() that only asks for equality into bcmp(), which is
 * no symbol of the 12.1 kernel (there it is a macro, sys/systm.h).
 */
#undef bcmp
int
bcmp(const void *a, const void *b, size_t len)
{
	const u_char *p = a, *q = b;

	for (; len > 0; len--)
		if (*p++ != *q++)
			return (1);
	return (0);
}
