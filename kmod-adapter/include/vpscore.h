/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core as a static library, libvpscore.a, for a kernel in C.
 *
 * The module for stock FreeBSD links it (kmod-adapter/c is the kernel's half);
 * a kernel that compiles it in provides the vps_k_* functions and calls the
 * vps_rs_* ones at its joints (vpscore/src/joints.rs).  Nothing else is wanted
 * of the kernel but memcpy, memmove, memset, memcmp and bcmp.
 *
 * Functions return 0 or an errno unless they say otherwise.  (s) marks those
 * that may sleep and are called with no lock held; the others are safe with
 * mutexes held.  The core calls a vps_k_* function, allocates and frees with
 * none of its own locks held, but for VPS_LOCK_CONTROL around (s) functions.
 *
 * A process goes by a number that no other living or zombie process has, such
 * as the address of its struct proc; a prison likewise, from its creation to
 * its destruction.  Ids (p_pid, pg_id, s_sid, td_tid) are the kernel's.
 */

#ifndef _VPSCORE_H_
#define	_VPSCORE_H_

#ifdef _KERNEL
#include <sys/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif

typedef uint64_t	vps_proc_t;
typedef uint64_t	vps_prison_t;

/* An InstanceId: generation in the upper half, slot in the lower; 0 is vps0. */
typedef uint64_t	vps_instance_t;

/* Bytes of an instance's name in full, dotted, NUL included. */
#define	VPS_NAME_SIZE		256

/* A system call of a process in an instance. */
struct vps_call {
	vps_proc_t	 proc;		/* the caller */
	int32_t		 pid;		/* its p_pid */
	int32_t		 code;		/* SYS_xxx */
	uint64_t	*args;		/* eight words, which may be changed */
	uint64_t	 ret;		/* the result, after forwarding */
	int32_t		 options;	/* VPS_CALL_xxx */
	uint32_t	 reserved;
	void		*td;		/* the kernel's */
	void		*live;		/* the kernel's */
};

#define	VPS_CALL_NATIVE		1	/* by FreeBSD's own numbers */
#define	VPS_CALL_CAPMODE	2	/* in capability mode */

/*
 * What the kernel gives.
 */

/* Memory, aligned, or NULL; never waits for it. */
void	*vps_k_malloc(size_t size, size_t align);
void	 vps_k_free(void *ptr);

/*
 * Locks.  CONTROL may be held across a sleep, by one at a time; STATE is read
 * where nothing may sleep, by any number, and taken after CONTROL.
 */
#define	VPS_LOCK_CONTROL	0
#define	VPS_LOCK_STATE		1
/* Words that a reader has on its stack for the kernel's use until it is done. */
#define	VPS_TRACKER_WORDS	12
struct vps_lock;
struct vps_lock *vps_k_lock_create(int rank);			/* (s) or NULL */
void	 vps_k_lock_destroy(struct vps_lock *lk);		/* (s) */
void	 vps_k_lock_read(struct vps_lock *lk, uint64_t *tracker);
void	 vps_k_lock_read_done(struct vps_lock *lk, uint64_t *tracker);
void	 vps_k_lock_write(struct vps_lock *lk);
void	 vps_k_lock_write_done(struct vps_lock *lk);

/* Nanoseconds since boot; a number that nobody can guess. */
uint64_t vps_k_uptime(void);
uint64_t vps_k_random(void);

/* Sleeps some milliseconds. */
void	 vps_k_pause(void);					/* (s) */

/* Whether a group, a session or a reaper subtree goes by a number: 1 or 0. */
int	 vps_k_id_named(int32_t id);				/* (s) */

/* Signals a process past every check; it may be gone. */
void	 vps_k_signal(vps_proc_t proc, int signum);		/* (s) */

/*
 * kill(2) of `call' for the process with this id, or for each process of a
 * group or of the system: asks vps_rs_wanted with `filter' whom it is for,
 * with the process locked, and p_cansignal() whether it may.
 */
#define	VPS_EACH_ALL		0
#define	VPS_EACH_GROUP		1
int	 vps_k_signal_one(struct vps_call *call, int32_t pid, int signum,
	    const void *filter);				/* (s) */
int	 vps_k_signal_each(struct vps_call *call, int which, int32_t pgid,
	    int signum, const void *filter);			/* (s) */

/* Whether a signal would have its default action: 1 or 0; proc is locked. */
int	 vps_k_default_action(vps_proc_t proc, int signum);

/* The process group of the calling process. */
int32_t	 vps_k_pgid(vps_proc_t proc);				/* (s) */

/* An int of the calling program's memory. */
int	 vps_k_user_get(uint64_t address, int32_t *value);	/* (s) */
int	 vps_k_user_put(uint64_t address, int32_t value);	/* (s) */

/* What the calling thread's events are to be given; NULL takes it back. */
int	 vps_k_pending_set(void *pending);			/* (s) */

/* Does the call as the kernel would without the core. */
int	 vps_k_forward(struct vps_call *call);			/* (s) */

/* Prisons: see vpscore::kpi::Kpi. */
int	 vps_k_prison_create(vps_prison_t parent, vps_instance_t instance,
	    const char *name, size_t namelen, vps_prison_t *out);	/* (s) */
int	 vps_k_prison_destroy(vps_prison_t prison);		/* (s) */
int	 vps_k_prison_suspend(vps_prison_t prison);		/* (s) */
void	 vps_k_prison_resume(vps_prison_t prison);		/* (s) */
int	 vps_k_prison_drain(vps_prison_t prison);		/* (s) */

/*
 * The calling process becomes one of the prison; init: it is the first, and
 * takes the orphans of the instance.
 */
int	 vps_k_prison_enter(vps_prison_t prison, int init);	/* (s) */

/*
 * What the core gives.
 */

/* Makes the core; before anything else. */
int	 vps_rs_load(void);					/* (s) */
/* Whether an instance exists, or a process of one: 1 or 0. */
int	 vps_rs_busy(void);
/* Unmakes it; not busy, and nothing can call it any more. */
void	 vps_rs_unload(void);					/* (s) */

/* Whether a call goes through vps_rs_syscall: 1 or 0. */
int	 vps_rs_wraps(int code, int native);
/* Does a call; the result is in call->ret. */
int	 vps_rs_syscall(struct vps_call *call);			/* (s) */

/*
 * Events.  `pending' is what the thread has set by vps_k_pending_set, or NULL.
 * vps_rs_fork: the child is there and does not run; where it does not return
 * 0, the child is to be killed before it does.
 */
int	 vps_rs_fork(void *pending, vps_proc_t parent, vps_proc_t child,
	    int32_t pid, int32_t tid);
void	 vps_rs_exec(vps_proc_t proc);
void	 vps_rs_exit(vps_proc_t proc);				/* (s) */
void	 vps_rs_reap(void *pending, vps_proc_t proc, int32_t pid);

/* Whether a signal is for a process, which is locked. */
#define	VPS_WANTED_NOT		0	/* not one of those meant */
#define	VPS_WANTED		1	/* to be signalled */
#define	VPS_WANTED_QUIET	2	/* meant, but an init: it ignores this */
int	 vps_rs_wanted(const void *filter, vps_proc_t proc, int signum);

/* What a process reads for a p_pid: 0 where it is outside its view. */
int32_t	 vps_rs_view(vps_proc_t proc, int32_t pid);

/* MAC: whether it may be, as far as instances go; proc is locked. */
int	 vps_rs_check_visible(vps_instance_t from, vps_instance_t to);
int	 vps_rs_check_signal(vps_instance_t from, vps_proc_t proc, int signum);
int	 vps_rs_check_debug(vps_instance_t from, vps_proc_t proc);
int	 vps_rs_check_priv(vps_instance_t instance, int priv);

/* A request of the management plane (vpscore::ctl) from a process. */
int	 vps_rs_control(vps_proc_t proc, const uint8_t *request, size_t len,
	    uint8_t *answer, size_t room, size_t *answered);	/* (s) */

/* The calling process, of one thread, enters the instance at a path. */
int	 vps_rs_enter(vps_proc_t proc, int32_t pid, int32_t tid,
	    const uint8_t *path, size_t len);			/* (s) */

#endif /* !_VPSCORE_H_ */
