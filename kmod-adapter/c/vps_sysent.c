/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One system call vector for each ABI that runs in an instance.
 *
 * A vector is a copy of the kernel's own sysentvec with another sv_table,
 * whose entries lead to Rust where the core translates the call and straight
 * on elsewhere.  Both look the live entry up when they are called, so a
 * system call that a module registers later is reached too.  A vector lives
 * until the module is unloaded, which waits until every process that was ever
 * armed has been reaped: then no thread can be inside.
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/capsicum.h>
#include <sys/kernel.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/signalvar.h>
#include <sys/syscall.h>
#include <sys/sysent.h>

#include "vps_shim.h"

struct vps_vector {
	struct sysentvec	 sv;	/* (c) what p_sysent points to */
	struct sysentvec	*live;	/* (c) the kernel's own */
	struct vps_vector	*next;	/* (c) */
	struct sysent		 table[];	/* (c) sv.sv_size entries */
};

/* Pushed under the lock, never removed while the module is loaded. */
static struct vps_vector *vectors;
static struct mtx vectors_mtx;
MTX_SYSINIT(vps_vectors, &vectors_mtx, "vps vectors", MTX_DEF);

static struct vps_vector *
vps_vector_find(struct sysentvec *sv)
{
	struct vps_vector *v;

	for (v = (struct vps_vector *)atomic_load_acq_ptr(
	    (uintptr_t *)&vectors); v != NULL; v = v->next)
		if (v->live == sv || &v->sv == sv)
			return (v);
	return (NULL);
}

/*
 * Calls the live entry, holding a module that registered it.  The vector is
 * the caller's because exec changes p_sysent on the way.
 */
static int
vps_call_live(struct thread *td, struct vps_vector *v, int code, void *uap)
{
	struct sysent *se;
	int error;

	se = &v->live->sv_table[(u_int)code < (u_int)v->live->sv_size ? code : 0];
#if __FreeBSD_version >= 1400000
	if ((se->sy_flags & SY_THR_STATIC) == 0) {
		error = syscall_thread_enter(td, &se);
		if (error != 0)
			return (error);
		error = se->sy_call(td, uap);
		syscall_thread_exit(td, se);
		return (error);
	}
	return (se->sy_call(td, uap));
#else
	error = syscall_thread_enter(td, se);
	if (error == 0) {
		error = se->sy_call(td, uap);
		syscall_thread_exit(td, se);
	}
	return (error);
#endif
}

/* Entry of a call that carries no id. */
static int
vps_sys_forward(struct thread *td, void *uap)
{

	return (vps_call_live(td, vps_vector_find(td->td_proc->p_sysent),
	    td->td_sa.code, uap));
}

/* Entry of a call that Rust translates. */
static int
vps_sys_translate(struct thread *td, void *uap)
{
	struct vps_call call;
	int error;

	bzero(&call, sizeof(call));
	call.proc = (vps_proc_t)td->td_proc;
	call.pid = td->td_proc->p_pid;
	call.code = td->td_sa.code;
	call.args = uap;
	if (SV_PROC_ABI(td->td_proc) == SV_ABI_FREEBSD)
		call.options |= VPS_CALL_NATIVE;
	if (IN_CAPABILITY_MODE(td))
		call.options |= VPS_CALL_CAPMODE;
	call.td = td;
	call.live = vps_vector_find(td->td_proc->p_sysent);
	error = vps_rs_syscall(&call);
	if (error == 0)
		td->td_retval[0] = call.ret;
	return (error);
}

/* Lets the kernel do a translated call, and puts the vector back if it was exec. */
int
vps_k_forward(struct vps_call *call)
{
	struct thread *td = call->td;
	int error;

	error = vps_call_live(td, call->live, call->code, call->args);
	call->ret = td->td_retval[0];
	if (vps_arm(td) != 0) {
		PROC_LOCK(td->td_proc);
		kern_psignal(td->td_proc, SIGKILL);
		PROC_UNLOCK(td->td_proc);
	}
	return (error);
}

/*
 * Delivery of a signal: si_pid is the kernel's until here.  Runs with the
 * process and its sigacts locked.
 */
static void
vps_sendsig(sig_t catcher, ksiginfo_t *ksi, sigset_t *mask)
{
	struct proc *p = curproc;

	if (ksi->ksi_pid != 0)
		ksi->ksi_pid = vps_rs_view((vps_proc_t)p, ksi->ksi_pid);
	vps_vector_find(p->p_sysent)->live->sv_sendsig(catcher, ksi, mask);
}

static struct vps_vector *
vps_vector_make(struct sysentvec *sv)
{
	struct vps_vector *v;
	int i, native;

	v = malloc(sizeof(*v) + sv->sv_size * sizeof(struct sysent), M_VPS,
	    M_WAITOK | M_ZERO);
	v->sv = *sv;
	v->sv.sv_table = v->table;
	v->sv.sv_sendsig = vps_sendsig;
	v->live = sv;
	native = (sv->sv_flags & SV_ABI_MASK) == SV_ABI_FREEBSD;
	for (i = 0; i < sv->sv_size; i++) {
		v->table[i] = sv->sv_table[i];
		v->table[i].sy_call = vps_rs_wraps(i, native) ?
		    vps_sys_translate : vps_sys_forward;
		/* A slot that a module may fill takes as many words as fit. */
		if (sv->sv_table[i].sy_call == (sy_call_t *)lkmressys)
			v->table[i].sy_narg = nitems(curthread->td_sa.args);
#if __FreeBSD_version >= 1400000
		v->table[i].sy_flags |= SY_THR_STATIC;
#else
		v->table[i].sy_thrcnt = SY_THR_STATIC;
#endif
	}
	return (v);
}

/* Gives the calling process our vector for whatever ABI it has now. */
int
vps_arm(struct thread *td)
{
	struct vps_vector *v, *mine;
	struct sysentvec *sv;

	sv = td->td_proc->p_sysent;
	v = vps_vector_find(sv);
	if (v == NULL) {
		mine = vps_vector_make(sv);
		mtx_lock(&vectors_mtx);
		v = vps_vector_find(sv);
		if (v == NULL) {
			v = mine;
			v->next = vectors;
			atomic_store_rel_ptr((uintptr_t *)&vectors,
			    (uintptr_t)v);
			mine = NULL;
		}
		mtx_unlock(&vectors_mtx);
		free(mine, M_VPS);
	}
	td->td_proc->p_sysent = &v->sv;
	return (0);
}

void
vps_sysent_unload(void)
{
	struct vps_vector *v;

	while ((v = vectors) != NULL) {
		vectors = v->next;
		free(v, M_VPS);
	}
}
