/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes: the events that the kernel raises, and signals.
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/eventhandler.h>
#include <sys/imgact.h>
#include <sys/kernel.h>
#include <sys/libkern.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/osd.h>
#include <sys/proc.h>
#include <sys/random.h>
#include <sys/signalvar.h>
#include <sys/sx.h>
#include <sys/time.h>
#include <sys/ucred.h>

#include "vps_shim.h"

static eventhandler_tag fork_tag, exec_tag, exit_tag, dtor_tag;
static u_int pending_slot;

/*
 * What a thread has reserved for the call it is in; found again by the
 * events that the call raises, which run in the same thread.
 */
int
vps_k_pending_set(void *pending)
{

	if (pending == NULL) {
		osd_thread_del(curthread, pending_slot);
		return (0);
	}
	return (osd_thread_set(curthread, pending_slot, pending));
}

static void *
vps_pending(void)
{

	return (osd_thread_get(curthread, pending_slot));
}

static void
vps_fork(void *arg __unused, struct proc *p1, struct proc *p2,
    int flags __unused)
{

	if (vps_rs_fork(vps_pending(), (vps_proc_t)p1, (vps_proc_t)p2,
	    p2->p_pid, FIRST_THREAD_IN_PROC(p2)->td_tid) == 0)
		return;
	PROC_LOCK(p2);
	kern_psignal(p2, SIGKILL);
	PROC_UNLOCK(p2);
}

static void
vps_exec(void *arg __unused, struct proc *p, struct image_params *imgp __unused)
{

	vps_rs_exec((vps_proc_t)p);
}

static void
vps_exit(void *arg __unused, struct proc *p)
{

	vps_rs_exit((vps_proc_t)p);
}

/* Runs in the thread that reaps, or in a fork that failed. */
static void
vps_dtor(void *arg __unused, struct proc *p)
{

	vps_rs_reap(vps_pending(), (vps_proc_t)p, p->p_pid);
}

void
vps_proc_load(void)
{

	pending_slot = osd_thread_register(NULL);
	fork_tag = EVENTHANDLER_REGISTER(process_fork, vps_fork, NULL,
	    EVENTHANDLER_PRI_FIRST);
	exec_tag = EVENTHANDLER_REGISTER(process_exec, vps_exec, NULL,
	    EVENTHANDLER_PRI_ANY);
	exit_tag = EVENTHANDLER_REGISTER(process_exit, vps_exit, NULL,
	    EVENTHANDLER_PRI_ANY);
	dtor_tag = EVENTHANDLER_REGISTER(process_dtor, vps_dtor, NULL,
	    EVENTHANDLER_PRI_ANY);
}

/* Deregistering waits for handlers that are running. */
void
vps_proc_unload(void)
{

	EVENTHANDLER_DEREGISTER(process_fork, fork_tag);
	EVENTHANDLER_DEREGISTER(process_exec, exec_tag);
	EVENTHANDLER_DEREGISTER(process_exit, exit_tag);
	EVENTHANDLER_DEREGISTER(process_dtor, dtor_tag);
	osd_thread_deregister(pending_slot);
}

uint64_t
vps_k_uptime(void)
{
	struct timespec ts;

	nanouptime(&ts);
	return ((uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec);
}

uint64_t
vps_k_random(void)
{
	uint64_t value;

	arc4rand(&value, sizeof(value), 0);
	return (value);
}

void
vps_k_pause(void)
{

	pause("vpspse", MAX(hz / 100, 1));
}

int
vps_k_user_get(uint64_t address, int32_t *value)
{

	return (copyin((void *)address, value, sizeof(*value)));
}

int
vps_k_user_put(uint64_t address, int32_t value)
{

	return (copyout(&value, (void *)address, sizeof(value)));
}

/* Whether a group, a session or a reaper still goes by this number. */
int
vps_k_id_named(int32_t id)
{
	struct proc *p;
	struct pgrp *pg;
	int named;

	sx_slock(&proctree_lock);
	pg = pgfind(id);
	if (pg != NULL)
		PGRP_UNLOCK(pg);
	named = pg != NULL;
	sx_slock(&allproc_lock);
	FOREACH_PROC_IN_SYSTEM(p) {
		if (named)
			break;
		PROC_LOCK(p);
		named = p->p_state != PRS_NEW &&
		    (p->p_reapsubtree == id ||
		    (p->p_pgrp != NULL && p->p_session->s_sid == id));
		PROC_UNLOCK(p);
	}
	sx_sunlock(&allproc_lock);
	sx_sunlock(&proctree_lock);
	return (named);
}

/* The process may be gone: it counts only if it is on the list. */
void
vps_k_signal(vps_proc_t proc, int signum)
{
	struct proc *p;

	sx_slock(&allproc_lock);
	FOREACH_PROC_IN_SYSTEM(p) {
		if ((vps_proc_t)p != proc)
			continue;
		PROC_LOCK(p);
		if (p->p_state == PRS_NORMAL)
			kern_psignal(p, signum);
		PROC_UNLOCK(p);
		break;
	}
	sx_sunlock(&allproc_lock);
}

/*
 * Whether a signal would find a locked process with nothing but the default
 * action: no handler, and a thread that does not block it (a blocked one may
 * be waited for by sigwait(2)).
 */
int
vps_k_default_action(vps_proc_t proc, int signum)
{
	struct proc *p = (struct proc *)proc;
	struct thread *td;
	int is_default;

	if (signum <= 0 || signum > _SIG_MAXSIG)
		return (0);
	mtx_lock(&p->p_sigacts->ps_mtx);
	is_default = p->p_sigacts->ps_sigact[_SIG_IDX(signum)] == SIG_DFL;
	mtx_unlock(&p->p_sigacts->ps_mtx);
	if (!is_default)
		return (0);
	FOREACH_THREAD_IN_PROC(p, td)
		if (!SIGISMEMBER(td->td_sigmask, signum))
			return (1);
	return (0);
}

/* The group of the calling process. */
int32_t
vps_k_pgid(vps_proc_t proc)
{
	struct proc *p = (struct proc *)proc;
	int32_t pgid;

	PROC_LOCK(p);
	pgid = p->p_pgid;
	PROC_UNLOCK(p);
	return (pgid);
}

/*
 * Signals a locked process: 0 or an errno as kill(2) has it, or -1 where it
 * is not meant.
 */
static int
vps_signal_locked(struct thread *td, struct proc *p, int signum,
    const void *filter)
{
	ksiginfo_t ksi;
	int error, wanted;

	if (p->p_state == PRS_NEW || (p->p_flag & P_SYSTEM) != 0)
		return (-1);
	wanted = vps_rs_wanted(filter, (vps_proc_t)p, signum);
	if (wanted == VPS_WANTED_NOT)
		return (-1);
	error = p_cansignal(td, p, wanted == VPS_WANTED_QUIET ? 0 : signum);
	if (error == 0 && signum != 0 && p->p_state == PRS_NORMAL &&
	    wanted == VPS_WANTED) {
		ksiginfo_init(&ksi);
		ksi.ksi_signo = signum;
		ksi.ksi_code = SI_USER;
		ksi.ksi_pid = td->td_proc->p_pid;
		ksi.ksi_uid = td->td_ucred->cr_ruid;
		pksignal(p, signum, &ksi);
	}
	return (error);
}

/* kill(2) for one, a zombie included. */
int
vps_k_signal_one(struct vps_call *call, int32_t pid, int signum,
    const void *filter)
{
	struct proc *p;
	int error;

	p = pfind_any(pid);
	if (p == NULL)
		return (ESRCH);
	error = vps_signal_locked(call->td, p, signum, filter);
	PROC_UNLOCK(p);
	return (error < 0 ? ESRCH : error);
}

/*
 * kill(2) for many: the first success wins, else the first refusal, else
 * ESRCH, as killpg1() has it; who is meant is Rust's to say, since the
 * kernel's own loop takes p_pid 1 for the only init there is.
 */
int
vps_k_signal_each(struct vps_call *call, int which, int32_t pgid, int signum,
    const void *filter)
{
	struct proc *p;
	int error, one;

	error = ESRCH;
	sx_slock(&allproc_lock);
	FOREACH_PROC_IN_SYSTEM(p) {
		PROC_LOCK(p);
		one = -1;
		if (which == VPS_EACH_ALL ||
		    (p->p_pgrp != NULL && p->p_pgrp->pg_id == pgid))
			one = vps_signal_locked(call->td, p, signum, filter);
		PROC_UNLOCK(p);
		if (one == 0 || (one > 0 && error == ESRCH))
			error = one;
	}
	sx_sunlock(&allproc_lock);
	return (error);
}
