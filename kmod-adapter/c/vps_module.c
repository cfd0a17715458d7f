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

/* A load that fails is followed by an unload at once (kern_module.c). */
static int loaded;

static int
vps_load(void)
{
	int error;

	error = vps_rs_load();
	if (error != 0)
		return (error);
	vps_prison_load();
	vps_proc_load();
	error = vps_mac_load();
	if (error == 0) {
		error = vps_dev_load();
		if (error == 0) {
			loaded = 1;
			return (0);
		}
		(void)vps_mac_unload();
	}
	vps_proc_unload();
	vps_prison_unload();
	vps_rs_unload();
	return (error);
}

/*
 * Nothing of ours may run on once this returns 0.  The device goes first, so
 * that no instance is made any more; while one exists, or a process of one
 * has not been reaped, the device comes back and the module stays.
 */
static int
vps_unload(void)
{

	if (!loaded)
		return (0);
	if (vps_rs_busy())
		return (EBUSY);
	vps_dev_unload();
	if (vps_rs_busy() || vps_mac_unload() != 0) {
		(void)vps_dev_load();
		return (EBUSY);
	}
	vps_proc_unload();
	vps_sysent_unload();
	vps_prison_unload();
	vps_rs_unload();
	loaded = 0;
	return (0);
}

static int
vps_modevent(module_t mod __unused, int what, void *arg __unused)
{

	switch (what) {
	case MOD_LOAD:
		return (vps_load());
	case MOD_QUIESCE:
		return (vps_rs_busy() ? EBUSY : 0);
	case MOD_UNLOAD:
		return (vps_unload());
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
