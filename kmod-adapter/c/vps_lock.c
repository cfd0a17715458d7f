/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core's two locks.  Control may be held across a sleep, so it is an
 * sx(9); State is read in every translated system call and in MAC checks
 * that may not sleep, so it is an rmlock(9).
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kernel.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/rmlock.h>
#include <sys/sx.h>

#include "vps_shim.h"

struct vps_lock {
	int		 rank;		/* (c) which of the two */
	struct sx	 control;	/* VPS_LOCK_CONTROL */
	struct rmlock	 state;		/* VPS_LOCK_STATE */
};

CTASSERT(sizeof(struct rm_priotracker) <=
    VPS_TRACKER_WORDS * sizeof(uint64_t));

struct vps_lock *
vps_k_lock_create(int rank)
{
	struct vps_lock *lk;

	lk = malloc(sizeof(*lk), M_VPS, M_NOWAIT | M_ZERO);
	if (lk == NULL)
		return (NULL);
	lk->rank = rank;
	if (rank == VPS_LOCK_CONTROL)
		sx_init(&lk->control, "vps control");
	else
		rm_init(&lk->state, "vps state");
	return (lk);
}

void
vps_k_lock_destroy(struct vps_lock *lk)
{

	if (lk->rank == VPS_LOCK_CONTROL)
		sx_destroy(&lk->control);
	else
		rm_destroy(&lk->state);
	free(lk, M_VPS);
}

void
vps_k_lock_read(struct vps_lock *lk, uint64_t *tracker)
{

	if (lk->rank == VPS_LOCK_CONTROL)
		sx_slock(&lk->control);
	else
		rm_rlock(&lk->state, (struct rm_priotracker *)tracker);
}

void
vps_k_lock_read_done(struct vps_lock *lk, uint64_t *tracker)
{

	if (lk->rank == VPS_LOCK_CONTROL)
		sx_sunlock(&lk->control);
	else
		rm_runlock(&lk->state, (struct rm_priotracker *)tracker);
}

void
vps_k_lock_write(struct vps_lock *lk)
{

	if (lk->rank == VPS_LOCK_CONTROL)
		sx_xlock(&lk->control);
	else
		rm_wlock(&lk->state);
}

void
vps_k_lock_write_done(struct vps_lock *lk)
{

	if (lk->rank == VPS_LOCK_CONTROL)
		sx_xunlock(&lk->control);
	else
		rm_wunlock(&lk->state);
}
