/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The module's life: load, refuse to unload while used, unload.
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kernel.h>
#include <sys/malloc.h>
#include <sys/module.h>

#include "vps_shim.h"

static int
vps_modevent(module_t mod __unused, int what, void *arg __unused)
{

	switch (what) {
	case MOD_LOAD:
		return (vps_rs_load());
	case MOD_UNLOAD:
		return (vps_rs_unload());
	default:
		return (EOPNOTSUPP);
	}
}

static moduledata_t vps_mod = {
	.name = "vps",
	.evhand = vps_modevent,
};

DECLARE_MODULE(vps, vps_mod, SI_SUB_PSEUDO, SI_ORDER_ANY);
MODULE_VERSION(vps, 1);
