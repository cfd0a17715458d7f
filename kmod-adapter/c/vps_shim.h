/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of the module call of each other.  Functions named
 * vps_k_* are the kernel's, given to Rust in a form that needs none of its
 * headers; functions named vps_rs_* are Rust's.  A branch in the C files is
 * about a pointer, a lock, an allocation or an errno; every other decision is
 * the core's.
 *
 * A process goes as the address of its struct proc (vps_proc_t), a prison as
 * that of its struct prison.  struct proc is type stable and its address is
 * ours until process_dtor ran, which removes it from the core; a prison is
 * held by a reference of ours from creation to destruction.
 */

#ifndef _VPS_SHIM_H_
#define	_VPS_SHIM_H_

#include <sys/types.h>

MALLOC_DECLARE(M_VPS);

typedef uint64_t	vps_proc_t;
typedef uint64_t	vps_prison_t;

/* An InstanceId: generation in the upper half, slot in the lower; 0 is vps0. */
typedef uint64_t	vps_instance_t;

/* Ranks of vpscore::kpi::LockRank. */
#define	VPS_LOCK_CONTROL	0
#define	VPS_LOCK_STATE		1

/* Room that Rust keeps on its stack for a reader's rm_priotracker. */
#define	VPS_TRACKER_WORDS	12

/* Bytes of an instance's name in full, dotted, NUL included. */
#define	VPS_NAME_SIZE		256

/* A system call of a process in an instance, on its way through Rust. */
struct vps_call {
	vps_proc_t	 proc;		/* the caller */
	int32_t		 pid;		/* its p_pid */
	int32_t		 code;		/* SYS_xxx */
	uint64_t	*args;		/* td_sa.args: may be changed */
	uint64_t	 ret;		/* td_retval[0], after forwarding */
	int32_t		 options;	/* VPS_CALL_xxx */
	uint32_t	 reserved;
	struct thread	*td;		/* opaque to Rust */
	void		*live;		/* opaque to Rust */
};

#define	VPS_CALL_NATIVE		1	/* by FreeBSD's own numbers */
#define	VPS_CALL_CAPMODE	2	/* in capability mode */

/* Which processes a signal is for; vps_k_signal_each. */
#define	VPS_EACH_ALL		0	/* every process in the system */
#define	VPS_EACH_GROUP		1	/* those of one process group */

/* What vps_rs_wanted answers. */
#define	VPS_WANTED_NOT		0	/* not one of those meant */
#define	VPS_WANTED		1	/* to be signalled */
#define	VPS_WANTED_QUIET	2	/* meant, but an init: it ignores this */

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

/* vps_proc.c */
void	 vps_proc_load(void);
void	 vps_proc_unload(void);
uint64_t vps_k_uptime(void);
uint64_t vps_k_random(void);
int	 vps_k_id_named(int32_t id);
void	 vps_k_signal(vps_proc_t proc, int signum);
int	 vps_k_pending_set(void *pending);
void	*vps_k_pending(void);
int	 vps_k_signal_one(struct vps_call *call, int32_t pid, int signum,
	    const void *filter);
int	 vps_k_signal_each(struct vps_call *call, int which, int32_t pgid,
	    int signum, const void *filter);
int	 vps_k_default_action(vps_proc_t proc, int signum);
int32_t	 vps_k_pgid(vps_proc_t proc);
int	 vps_k_user_get(uint64_t address, int32_t *value);
int	 vps_k_user_put(uint64_t address, int32_t value);

/* vps_sysent.c */
void	 vps_sysent_unload(void);
int	 vps_k_arm(struct thread *td);
int	 vps_k_forward(struct vps_call *call);

/* vps_prison.c */
void	 vps_prison_load(void);
void	 vps_prison_unload(void);
int	 vps_k_prison_create(vps_prison_t parent, vps_instance_t instance,
	    const char *name, size_t namelen, vps_prison_t *out);
int	 vps_k_prison_destroy(vps_prison_t prison);
int	 vps_k_prison_suspend(vps_prison_t prison);
void	 vps_k_prison_resume(vps_prison_t prison);
int	 vps_k_prison_drain(vps_prison_t prison);
int	 vps_k_prison_enter(vps_prison_t prison, int init);
vps_instance_t vps_instance_of(struct ucred *cred);

/* vps_mac.c */
int	 vps_mac_load(void);
int	 vps_mac_unload(void);

/* vps_dev.c */
int	 vps_dev_load(void);
void	 vps_dev_unload(void);

/* Rust: module.rs */
int	 vps_rs_load(void);
int	 vps_rs_busy(void);
void	 vps_rs_unload(void);

/* Rust: syscall.rs */
int	 vps_rs_wraps(int code, int native);
int	 vps_rs_syscall(struct vps_call *call);

/* Rust: event.rs */
int	 vps_rs_fork(void *pending, vps_proc_t parent, vps_proc_t child,
	    int32_t pid, int32_t tid);
void	 vps_rs_exec(vps_proc_t proc);
void	 vps_rs_exit(vps_proc_t proc);
void	 vps_rs_reap(void *pending, vps_proc_t proc, int32_t pid);
int	 vps_rs_wanted(const void *filter, vps_proc_t proc, int signum);
int32_t	 vps_rs_view(vps_proc_t proc, int32_t pid);

/* Rust: check.rs */
int	 vps_rs_check_visible(vps_instance_t from, vps_instance_t to);
int	 vps_rs_check_signal(vps_instance_t from, vps_proc_t proc, int signum);
int	 vps_rs_check_debug(vps_instance_t from, vps_proc_t proc);
int	 vps_rs_check_priv(vps_instance_t instance, int priv);

/* Rust: control.rs */
int	 vps_rs_control(vps_proc_t proc, const uint8_t *request, size_t len,
	    uint8_t *answer, size_t room, size_t *answered);
int	 vps_rs_enter(vps_proc_t proc, int32_t pid, int32_t tid,
	    const uint8_t *path, size_t len);

#endif /* !_VPS_SHIM_H_ */
