/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of a stock GENERIC kernel that change structures or macros
 * seen by a module (sys/conf/options: those that land in opt_global.h).
 * Used where no kernel build directory is given; 12.1 to 15 agree on these.
 */
#define	SMP 1
#define	VIMAGE 1
#define	MAC 1
#define	AUDIT 1
#define	NUMA 1
#define	PREEMPTION 1
#define	KDTRACE_HOOKS 1
#define	HWPMC_HOOKS 1
#define	RACCT 1
#define	RCTL 1
