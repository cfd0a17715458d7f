/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of the module call of each other.  Functions named
 * vps_k_* are the kernel's, given to Rust in a form that needs none of its
 * headers; functions named vps_rs_* are Rust's.  A branch here is about a
 * pointer, a lock, an allocation or an errno; every other decision is the
 * core's.
 */

#ifndef _VPS_SHIM_H_
#define	_VPS_SHIM_H_

#include <sys/types.h>

MALLOC_DECLARE(M_VPS);

/* Ranks of vpscore::kpi::LockRank. */
#define	VPS_LOCK_CONTROL	0
#define	VPS_LOCK_STATE		1

/* Room that Rust keeps on its stack for a reader's rm_priotracker. */
#define	VPS_TRACKER_WORDS	12

/* vps_mem.c */
void	*vps_k_malloc(size_t size, size_t align);
void	 vps_k_free(void *ptr);

/* vps_lock.c */
struct vps_lock;
struct vps_lock *vps_k_lock_create(int rank);
void	 vps_k_lock_destroy(struct vps_lock *lk);
void	 vps_k_lock_read(struct vps_lock *lk, uint64_t *tracker);
void	 vps_k_lock_read_done(struct vps_lock *lk, uint64_t *tracker);
void	 vps_k_lock_write(struct vps_lock *lk);
void	 vps_k_lock_write_done(struct vps_lock *lk);

/* Rust, module.rs */
int	 vps_rs_load(void);
int	 vps_rs_unload(void);

#endif /* !_VPS_SHIM_H_ */
