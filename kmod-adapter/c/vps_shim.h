/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the C files of the module call of each other.  What the two halves of
 * the module call of each other is in vpscore.h.
 *
 * A branch in the C files is about a pointer, a lock, an allocation or an
 * errno; every other decision is the core's.  struct proc is type stable and
 * its address is ours until process_dtor ran, which removes it from the core;
 * a prison is held by a reference of ours from creation to destruction.
 */

#ifndef _VPS_SHIM_H_
#define	_VPS_SHIM_H_

#include <vpscore.h>

MALLOC_DECLARE(M_VPS);

/* vps_proc.c */
void	 vps_proc_load(void);
void	 vps_proc_unload(void);

/* vps_sysent.c */
void	 vps_sysent_unload(void);
int	 vps_arm(struct thread *td);

/* vps_prison.c */
void	 vps_prison_load(void);
void	 vps_prison_unload(void);
vps_instance_t vps_instance_of(struct ucred *cred);

/* vps_mac.c */
int	 vps_mac_load(void);
int	 vps_mac_unload(void);

/* vps_dev.c */
int	 vps_dev_load(void);
void	 vps_dev_unload(void);

#endif /* !_VPS_SHIM_H_ */
