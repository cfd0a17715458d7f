/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel side of an instance: a prison with a vnet of its own.
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/jail.h>
#include <sys/kernel.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/osd.h>
#include <sys/proc.h>
#include <sys/procctl.h>
#include <sys/signalvar.h>
#include <sys/sx.h>
#include <sys/syscallsubr.h>
#include <sys/sysproto.h>
#include <sys/ucred.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "vps_shim.h"

/* How long destruction waits for the last process, in tenths of a second. */
#define	VPS_DRAIN_TENTHS	50

/* The OSD slot in which a prison has the id of its instance. */
static u_int instance_slot;

/*
 * The core has decided; the kernel must not decide again by the caller's own
 * prison.  So jail(2)'s functions run with the host's credential.
 */
static struct ucred *
vps_as_host(struct thread *td)
{
	struct ucred *saved = td->td_ucred;

	td->td_ucred = crhold(thread0.td_ucred);
	return (saved);
}

static void
vps_as_self(struct thread *td, struct ucred *saved)
{
	struct ucred *host = td->td_ucred;

	td->td_ucred = saved;
	crfree(host);
}

/*
 * The instance of a credential: that of the nearest prison, upwards from its
 * own, which holds one.
 */
vps_instance_t
vps_instance_of(struct ucred *cred)
{
	struct prison *pr;
	void *instance;

	for (pr = cred->cr_prison; pr != NULL && pr != &prison0;
	    pr = pr->pr_parent) {
		instance = osd_jail_get(pr, instance_slot);
		if (instance != NULL)
			return ((vps_instance_t)instance);
	}
	return (0);
}

void
vps_prison_load(void)
{

	instance_slot = osd_jail_register(NULL, NULL);
}

void
vps_prison_unload(void)
{

	osd_jail_deregister(instance_slot);
}

static void
vps_iov(struct iovec *iov, const char *name, const void *value, size_t len)
{

	iov[0].iov_base = __DECONST(char *, name);
	iov[0].iov_len = strlen(name) + 1;
	iov[1].iov_base = __DECONST(void *, value);
	iov[1].iov_len = len;
}

/* Makes a prison of that name; its id, which jail_set(2) returns, in *jid. */
static int
vps_prison_make(struct prison *ppr, char *full, int *jid)
{
	struct thread *td = curthread;
	struct iovec iov[10];
	struct ucred *saved;
	struct uio uio;
	register_t ret;
	int children, error, vnet;

	/* The core counts instances; a prison must allow fewer than its parent. */
	children = MAX((ppr == NULL ? &prison0 : ppr)->pr_childmax - 1, 0);
	vnet = JAIL_SYS_NEW;
	vps_iov(&iov[0], "name", full, strlen(full) + 1);
	vps_iov(&iov[2], "persist", NULL, 0);
	vps_iov(&iov[4], "vnet", &vnet, sizeof(vnet));
	vps_iov(&iov[6], "children.max", &children, sizeof(children));
	vps_iov(&iov[8], "host.hostname", full, strlen(full) + 1);
	bzero(&uio, sizeof(uio));
	uio.uio_iov = iov;
	uio.uio_iovcnt = nitems(iov);
	uio.uio_segflg = UIO_SYSSPACE;
	ret = td->td_retval[0];
	saved = vps_as_host(td);
	error = kern_jail_set(td, &uio, JAIL_CREATE);
	vps_as_self(td, saved);
	*jid = (int)td->td_retval[0];
	td->td_retval[0] = ret;
	return (error);
}

/*
 * The prison's name is the instance's, dotted.  Where a prison still holds
 * that, one that is dying or somebody else's, the instance's id is added.
 */
int
vps_k_prison_create(vps_prison_t parent, vps_instance_t instance,
    const char *name, size_t namelen, vps_prison_t *out)
{
	struct prison *ppr = (struct prison *)parent, *pr;
	char full[VPS_NAME_SIZE];
	int error, jid, len;

	len = snprintf(full, sizeof(full), "%s%s%.*s",
	    ppr == NULL ? "" : ppr->pr_name, ppr == NULL ? "" : ".",
	    (int)namelen, name);
	if (len >= (int)sizeof(full))
		return (ENAMETOOLONG);
	error = vps_prison_make(ppr, full, &jid);
	if (error == EEXIST && snprintf(full + len, sizeof(full) - len,
	    "-%jx", (uintmax_t)instance) < (int)sizeof(full) - len)
		error = vps_prison_make(ppr, full, &jid);
	if (error != 0)
		return (error);
	sx_slock(&allprison_lock);
	pr = prison_find(jid);
	if (pr != NULL) {
		prison_hold_locked(pr);
		mtx_unlock(&pr->pr_mtx);
	}
	sx_sunlock(&allprison_lock);
	if (pr == NULL)
		return (ENOENT);
	error = osd_jail_set(pr, instance_slot, (void *)instance);
	if (error != 0)
		(void)vps_k_prison_destroy((vps_prison_t)pr);
	else
		*out = (vps_prison_t)pr;
	return (error);
}

/*
 * Waits a moment until nobody but us holds the prison: credentials of
 * processes just reaped go a little later than they do.  Some stay for long,
 * since buffers keep the credential that they were read with: the prison then
 * goes when those do, under its name, as a jail(8) does.
 */
static void
vps_prison_settle(struct prison *pr)
{
	int refs, tries;

	for (tries = 0; tries < 3; tries++) {
		mtx_lock(&pr->pr_mtx);
		refs = pr->pr_ref;
		mtx_unlock(&pr->pr_mtx);
		if (refs == 1)
			return;
		pause("vpsref", MAX(hz / 20, 1));
	}
}

int
vps_k_prison_destroy(vps_prison_t prison)
{
	struct thread *td = curthread;
	struct prison *pr = (struct prison *)prison;
	struct jail_remove_args args;
	struct ucred *saved;
	int error;

	bzero(&args, sizeof(args));
	args.jid = pr->pr_id;
	saved = vps_as_host(td);
	error = sys_jail_remove(td, &args);
	vps_as_self(td, saved);
	/* Somebody may have removed it by jail(8): then it is gone as asked. */
	if (error != 0 && error != EINVAL)
		return (error);
	vps_prison_settle(pr);
	prison_free(pr);
	return (0);
}

/*
 * The caller becomes a process of the instance; its first one also takes the
 * instance's orphans, which procctl(2) can only arrange for oneself.
 */
int
vps_k_prison_enter(vps_prison_t prison, int init)
{
	struct thread *td = curthread;
	struct prison *pr = (struct prison *)prison;
	struct jail_attach_args args;
	struct ucred *saved;
	int error;

	bzero(&args, sizeof(args));
	args.jid = pr->pr_id;
	saved = vps_as_host(td);
	error = sys_jail_attach(td, &args);
	vps_as_self(td, saved);
	if (error != 0)
		return (error);
	if (init)
		(void)kern_procctl(td, P_PID, td->td_proc->p_pid,
		    PROC_REAP_ACQUIRE, NULL);
	return (vps_arm(td));
}

static int
vps_proc_inside(struct proc *p, struct prison *pr)
{
	struct prison *at;

	PROC_LOCK_ASSERT(p, MA_OWNED);
	if (p->p_state == PRS_NEW || p->p_ucred == NULL)
		return (0);
	for (at = p->p_ucred->cr_prison; at != NULL; at = at->pr_parent)
		if (at == pr)
			return (1);
	return (0);
}

/* A process of the prison that runs and is not stopped yet, held; or NULL. */
static struct proc *
vps_proc_running(struct prison *pr)
{
	struct proc *p;

	sx_slock(&allproc_lock);
	FOREACH_PROC_IN_SYSTEM(p) {
		PROC_LOCK(p);
		if (p->p_state == PRS_NORMAL && p != curproc &&
		    vps_proc_inside(p, pr) &&
		    (p->p_flag & (P_TOTAL_STOP | P_WEXIT | P_SYSTEM)) == 0) {
			_PHOLD(p);
			break;
		}
		PROC_UNLOCK(p);
	}
	sx_sunlock(&allproc_lock);
	return (p);
}

/*
 * As stop_all_proc() does for a whole system: a sleep is left as it is and
 * goes on when the process does.
 */
int
vps_k_prison_suspend(vps_prison_t prison)
{
	struct prison *pr = (struct prison *)prison;
	struct proc *p;
	int tries;

	for (tries = 0; (p = vps_proc_running(pr)) != NULL; tries++) {
		if (thread_single(p, SINGLE_ALLPROC) != 0) {
			_PRELE(p);
			PROC_UNLOCK(p);
			if (tries > hz * 5) {
				vps_k_prison_resume(prison);
				return (EAGAIN);
			}
			pause("vpssus", 1);
			continue;
		}
		_PRELE(p);
		PROC_UNLOCK(p);
	}
	return (0);
}

void
vps_k_prison_resume(vps_prison_t prison)
{
	struct prison *pr = (struct prison *)prison;
	struct proc *p;

again:
	sx_slock(&allproc_lock);
	FOREACH_PROC_IN_SYSTEM(p) {
		PROC_LOCK(p);
		if (vps_proc_inside(p, pr) &&
		    (p->p_flag & P_TOTAL_STOP) != 0) {
			sx_sunlock(&allproc_lock);
			_PHOLD(p);
			thread_single_end(p, SINGLE_ALLPROC);
			_PRELE(p);
			PROC_UNLOCK(p);
			goto again;
		}
		PROC_UNLOCK(p);
	}
	sx_sunlock(&allproc_lock);
}

/*
 * Whether a process of the prison is on the list.  Children of a dead reaper
 * come to the one above without waking it (reaper_abandon_children()), so the
 * parents of zombies are reminded.
 */
static int
vps_list_has(struct proclist *list, struct prison *pr)
{
	struct proc *p, *parent;
	int has, inside;

	has = 0;
	LIST_FOREACH(p, list, p_list) {
		PROC_LOCK(p);
		inside = vps_proc_inside(p, pr);
		parent = p->p_state == PRS_ZOMBIE ? p->p_pptr : NULL;
		PROC_UNLOCK(p);
		if (!inside)
			continue;
		has = 1;
		if (parent == NULL)
			continue;
		PROC_LOCK(parent);
		parent->p_flag |= P_STATCHILD;
		wakeup(parent);
		PROC_UNLOCK(parent);
	}
	return (has);
}

int
vps_k_prison_drain(vps_prison_t prison)
{
	struct prison *pr = (struct prison *)prison;
	int has, tenths;

	for (tenths = 0; tenths < VPS_DRAIN_TENTHS; tenths++) {
		sx_slock(&proctree_lock);
		sx_slock(&allproc_lock);
		has = vps_list_has(&allproc, pr);
#if __FreeBSD_version < 1300000
		has |= vps_list_has(&zombproc, pr);
#endif
		sx_sunlock(&allproc_lock);
		sx_sunlock(&proctree_lock);
		if (!has)
			return (0);
		pause("vpsdrn", MAX(hz / 10, 1));
	}
	return (EBUSY);
}
