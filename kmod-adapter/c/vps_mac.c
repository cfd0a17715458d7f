/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mac(9) policy.  It can only take away what the prison still allows, and
 * is asked with locks held: the core's non-sleepable joints answer.
 *
 * mac_policy.h is in source trees only.  Without it the module has no policy,
 * and an instance is held by its prison alone (docs/kernel-module.md).
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kernel.h>
#include <sys/malloc.h>
#include <sys/module.h>
#include <sys/proc.h>
#include <sys/ucred.h>

#include "vps_shim.h"

#if __has_include(<security/mac/mac_policy.h>)
#include <sys/mac.h>
#include <security/mac/mac_policy.h>

static int
vps_cred_check_visible(struct ucred *from, struct ucred *to)
{

	return (vps_rs_check_visible(vps_instance_of(from), vps_instance_of(to)));
}

static int
vps_proc_check_signal(struct ucred *from, struct proc *p, int signum)
{

	return (vps_rs_check_signal(vps_instance_of(from), (vps_proc_t)p,
	    signum));
}

static int
vps_proc_check_debug(struct ucred *from, struct proc *p)
{

	return (vps_rs_check_debug(vps_instance_of(from), (vps_proc_t)p));
}

static int
vps_proc_check_sched(struct ucred *from, struct proc *p)
{

	return (vps_rs_check_debug(vps_instance_of(from), (vps_proc_t)p));
}

static int
vps_priv_check(struct ucred *cred, int priv)
{
	vps_instance_t instance = vps_instance_of(cred);

	return (instance == 0 ? 0 : vps_rs_check_priv(instance, priv));
}

static struct mac_policy_ops vps_mac_ops = {
	.mpo_cred_check_visible = vps_cred_check_visible,
	.mpo_proc_check_signal = vps_proc_check_signal,
	.mpo_proc_check_debug = vps_proc_check_debug,
	.mpo_proc_check_sched = vps_proc_check_sched,
	.mpo_priv_check = vps_priv_check,
};

static struct mac_policy_conf vps_mac_conf = {
	.mpc_name = "vps",
	.mpc_fullname = "Virtual Private Systems",
	.mpc_ops = &vps_mac_ops,
	.mpc_loadtime_flags = MPC_LOADTIME_FLAG_UNLOADOK,
};

/*
 * Called rather than declared as a module of its own, which a refused unload
 * of this one could leave unregistered.
 */
int
vps_mac_load(void)
{

	return (mac_policy_modevent(NULL, MOD_LOAD, &vps_mac_conf));
}

int
vps_mac_unload(void)
{

	return (mac_policy_modevent(NULL, MOD_UNLOAD, &vps_mac_conf));
}

MODULE_DEPEND(vps, kernel_mac_support, MAC_VERSION, MAC_VERSION, MAC_VERSION);
#else
int
vps_mac_load(void)
{

	return (0);
}

int
vps_mac_unload(void)
{

	return (0);
}
#endif
