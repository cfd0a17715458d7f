/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /dev/vps: an ioctl that carries a request to the core and its answer back,
 * and one by which a process enters an instance.
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/conf.h>
#include <sys/ioccom.h>
#include <sys/kernel.h>
#include <sys/malloc.h>
#include <sys/proc.h>
#include <sys/ucred.h>

#include "vps_shim.h"

/* What vpsctl passes: two buffers of its own; both lengths in bytes. */
struct vps_control {
	uint64_t	request;
	uint64_t	answer;
	uint32_t	request_len;
	uint32_t	answer_room;
	uint32_t	answer_len;
	uint32_t	reserved;
};

#define	VPS_CONTROL	_IOWR('V', 1, struct vps_control)

/* The calling process enters the instance at a path, without its NUL. */
struct vps_enter {
	uint64_t	path;
	uint32_t	path_len;
	uint32_t	reserved;
};

#define	VPS_ENTER	_IOW('V', 2, struct vps_enter)

/* Longest request and answer: looked at before anything is allocated. */
#define	VPS_CONTROL_MAX	65536

static struct cdev *vps_cdev;

static int
vps_control(struct vps_control *c, struct thread *td)
{
	uint8_t *request, *answer;
	size_t answered;
	int error;

	if (c->request_len > VPS_CONTROL_MAX ||
	    c->answer_room > VPS_CONTROL_MAX)
		return (EMSGSIZE);
	request = malloc(MAX(c->request_len, 1), M_VPS, M_WAITOK);
	answer = malloc(MAX(c->answer_room, 1), M_VPS, M_WAITOK | M_ZERO);
	answered = 0;
	error = copyin((void *)c->request, request, c->request_len);
	if (error == 0)
		error = vps_rs_control((vps_proc_t)td->td_proc, request,
		    c->request_len, answer, c->answer_room, &answered);
	if (error == 0)
		error = copyout(answer, (void *)c->answer, answered);
	c->answer_len = answered;
	free(answer, M_VPS);
	free(request, M_VPS);
	return (error);
}

static int
vps_enter(struct vps_enter *e, struct thread *td)
{
	uint8_t path[VPS_NAME_SIZE];
	int error;

	if (e->path_len > sizeof(path))
		return (ENAMETOOLONG);
	if (td->td_proc->p_numthreads != 1)
		return (EINVAL);
	error = copyin((void *)e->path, path, e->path_len);
	if (error != 0)
		return (error);
	return (vps_rs_enter((vps_proc_t)td->td_proc, td->td_proc->p_pid,
	    td->td_tid, path, e->path_len));
}

static int
vps_ioctl(struct cdev *dev __unused, u_long cmd, caddr_t data,
    int flags __unused, struct thread *td)
{

	switch (cmd) {
	case VPS_CONTROL:
		return (vps_control((struct vps_control *)data, td));
	case VPS_ENTER:
		return (vps_enter((struct vps_enter *)data, td));
	default:
		return (ENOTTY);
	}
}

static struct cdevsw vps_cdevsw = {
	.d_version = D_VERSION,
	.d_name = "vps",
	.d_ioctl = vps_ioctl,
};

int
vps_dev_load(void)
{
	struct make_dev_args args;

	make_dev_args_init(&args);
	args.mda_devsw = &vps_cdevsw;
	args.mda_uid = UID_ROOT;
	args.mda_gid = GID_WHEEL;
	args.mda_mode = 0600;
	return (make_dev_s(&args, &vps_cdev, "vps"));
}

/* Waits for threads inside vps_ioctl(). */
void
vps_dev_unload(void)
{

	destroy_dev(vps_cdev);
}
