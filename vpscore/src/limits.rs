// SPDX-License-Identifier: BSD-2-Clause
//! Every bound of the core in one place, each with the reason why it is enough and what it costs.
//!
//! Loops and recursion over anything that a guest, an image or a peer controls are bounded by one
//! of these. Relations between bounds are asserted at compile time.

/// How deep instances nest below vps0 (which has depth 0).
///
/// A process carries one PID per level, in place, so the bound is also the size of that array.
/// FreeBSD's own jail hierarchy has no bound but the name: a jail name is a dotted path of at most
/// `MAXHOSTNAMELEN` bytes, and eight levels of names leave 31 bytes a level.
pub const DEPTH_MAX: usize = 8;

/// Bytes in the name of one instance, within its parent.
///
/// All levels joined by dots stay within `MAXHOSTNAMELEN` (256), which a jail name may not exceed.
pub const NAME_MAX: usize = 31;

/// `MAXHOSTNAMELEN` (`sys/param.h`): bytes in a jail name with its closing NUL.
pub const MAXHOSTNAMELEN: usize = 256;

const _: () = assert!(DEPTH_MAX * (NAME_MAX + 1) <= MAXHOSTNAMELEN);

/// Instances on one host, vps0 included.
///
/// The table is an array of this many slots at most, grown by chunks.
pub const INSTANCES_MAX: usize = 4096;

/// FreeBSD's `PID_MAX` (`sys/proc.h`), and `kern.pid_max` of every space by default.
///
/// As in `fork_findpid` (`kern_fork.c`, 15.0) the numbers handed out are *below* it.
pub const PID_MAX: i32 = 99_999;

/// The smallest `pid_max` of a space (`sysctl_kern_pid_max`, `kern_mib.c`, 15.0).
pub const PID_MAX_LEAST: i32 = 300;

/// Where the search for a free PID begins, and begins again after the end of the range
/// (`fork_findpid`, `kern_fork.c`, 13.0 to 15.0; it was 100 until 12.x).
pub const PID_AGAIN: i32 = 2;

/// The largest `pid_max` that a space can be widened to, for benches of larger tables.
///
/// PIDs index a two-level table; this bounds its upper level to 1024 leaves of 1024 numbers.
pub const PID_MAX_WIDE: i32 = 1_048_575;

/// The first thread id: `NO_PID` + 1 (`sys/proc.h`), so that PIDs and TIDs never meet.
pub const TID_MIN: i32 = 100_001;

/// The largest thread id (`TID_MAX`, `kern_thread.c`, 15.0: `INT_MAX`; bounded here so that the
/// upper level of the table stays within a page).
pub const TID_MAX: i32 = TID_MIN + PID_MAX_WIDE;

/// Processes the core tracks on one host, over all instances below vps0.
///
/// FreeBSD's `kern.maxproc` is bounded by `PID_MAX`; the wide bound serves benches.
pub const PROCS_MAX: usize = 1 << 20;

/// How deep arrays and maps nest in one CBOR item.
///
/// The deepest record of the schema has six levels; the rest is room for unknown optional fields.
/// Each level costs [`crate::cbor::Decoder::skip`] 40 bytes of stack.
pub const CBOR_DEPTH_MAX: usize = 16;

/// Lingering ids (their process is reaped) that one fork looks at, asking the kernel whether a
/// group, session or reaper subtree still names them.
///
/// Every fork adds one id and looks at four, so the sweep outruns the growth; it is a constant
/// amount of work for the caller.
pub const SWEEP_MAX: usize = 4;

/// How often a reservation is tried: with nothing in hand, with the memory that the first try
/// asked for, with the memory that any depth can need.
///
/// What a try needs depends on the depth of the caller's instance alone, which another thread of
/// the process may change between two tries by entering a deeper instance; the third try brings
/// enough for [`DEPTH_MAX`], so a fourth is never needed.
pub const RESERVE_TRIES: usize = 3;

/// Bytes of one encoded migration message. The longest, an offer, stays below; no message carries
/// anything of variable length but an instance's name.
pub const MIGRATE_MESSAGE_MAX: usize = 512;

/// Chunks that may be under way to the target and not acknowledged.
///
/// The target holds this many chunks at most that it has not yet applied.
pub const MIGRATE_WINDOW_MAX: u32 = 1024;

/// Chunks of one migration, all rounds together. At 64 KiB a chunk that is 2^56 bytes; the bound
/// keeps sums of sequence numbers and windows from wrapping.
pub const MIGRATE_CHUNKS_MAX: u64 = 1 << 40;

/// Pre-copy rounds of one migration, whatever its budget says.
pub const MIGRATE_ROUNDS_MAX: u32 = 1024;

/// Outputs of one step of a migration: the longest list of actions in its tables, with room for
/// what recovery adds. A test goes through the tables and checks it.
pub const MIGRATE_OUTPUTS_MAX: usize = 6;

/// Addresses that an instance, with those below it, can have changed in one move.
///
/// Each is looked for among all, so that the work grows with the square; an instance with more
/// addresses moves with the network that they are in.
pub const REMAP_MAX: usize = 256;

/// Bytes in a socket buffer.
///
/// The largest window is 65535 << 14, just under a gibibyte; `kern.ipc.maxsockbuf` is 2 MiB by
/// default and nobody sets it higher than the window.
pub const SOCKBUF_MAX: u32 = 1 << 30;

/// Holes in one SACK scoreboard: `net.inet.tcp.sack.globalmaxholes` (65536 by default) bounds those
/// of a whole vnet, `net.inet.tcp.sack.maxholes` (128) those of a connection.
pub const TCP_HOLES_MAX: usize = 65_536;

/// Segments in one reassembly queue: `net.inet.tcp.reass.maxqueuelen` is 100 by default; a larger one
/// is bounded by `net.inet.tcp.reass.maxsegments`, a sixteenth of the mbuf clusters.
pub const TCP_SEGQ_MAX: usize = 65_536;

/// The longest span in the state of a socket: what an `int` of seconds or an `sbintime_t` holds, and more than
/// an `u_int` of ticks does at `HZ_MINIMUM` (8 Hz, `subr_param.c`). Sums of two stay within 63 bits of
/// nanoseconds.
pub const SPAN_MAX: crate::time::Duration = crate::time::Duration::from_secs(1 << 31);

/// Datagrams in one buffer: each costs an mbuf (`MSIZE`, 256 bytes), and `sb_mbmax` is at most
/// `kern.ipc.maxsockbuf`, so at most [`SOCKBUF_MAX`].
pub const SBRECORDS_MAX: usize = (SOCKBUF_MAX / 256) as usize;

/// The backlog of a listener: `kern.ipc.soacceptqueue` is at most `UINT_MAX / 3`
/// (`sysctl_somaxconn`, `uipc_socket.c`, 15.0), so that 3/2 of it fits.
pub const SOMAXCONN_MAX: u32 = u32::MAX / 3;

/// Sockets of one vnet: `kern.ipc.maxsockets` follows `kern.maxfiles`, which memory bounds; this is that of a
/// host with some 64 GiB.
pub const SOCKETS_MAX: usize = 1 << 20;

/// Embryonic connections of one vnet, and rows of their table: `net.inet.tcp.syncache.cachelimit` is 15,360 by
/// default, `hashsize` 512; tunables may widen them.
pub const SYNCACHE_MAX: usize = 1 << 16;

/// Entries of a host cache: `net.inet.tcp.hostcache.cachelimit` is 15,360 by default, and a tunable.
pub const HOSTCACHE_MAX: usize = 1 << 16;

/// Servers whose Fast Open cookies a vnet remembers: 16 in each of 2048 rows by default
/// (`tcp_fastopen.h`), and tunables.
pub const TFO_CCACHE_MAX: usize = 1 << 16;

/// Addresses of a vnet and of those of its image that peers know by others: [`REMAP_MAX`] in one move, and
/// some moves.
pub const KNOWN_AS_MAX: usize = 1 << 12;

/// Security associations for MD5 signatures in one vnet; the SADB has no limit but memory.
pub const MD5_KEYS_MAX: usize = 1 << 16;

/// Descriptors of one process: `kern.maxfilesperproc` follows memory and stays below this.
pub const FDS_MAX: u32 = 1 << 24;

/// Bytes in one direction of a pipe: `BIG_PIPE_SIZE` is 64 KiB, and `kern.ipc.pipe_mindirect` lets a
/// writer lend at most as much again; wide for other kernels.
pub const PIPE_MAX: u32 = 1 << 20;

/// Supplementary groups of one credential: `kern.ngroups` is at most this (`NGROUPS_MAX` is 1023).
pub const NGROUPS_MAX: usize = 65_536;

/// Resources of `setrlimit(2)` (`RLIM_NLIMITS` is 16 in 15.0), with room for later ones.
pub const RLIMITS_MAX: usize = 32;

/// Bytes of metadata in one frame of an image.
///
/// The reader holds one frame at a time. A descriptor table of [`FDS_MAX`] slots would not fit, but one
/// of 100,000, at nine bytes a slot, does.
pub const FRAME_META_MAX: u32 = 1 << 20;

/// Bytes of a stream in one frame of an image.
pub const FRAME_DATA_MAX: u32 = 64 << 10;

/// Raw pages that a repeated page may lie behind: the window costs writer and reader 256 KiB each.
pub const PAGE_WINDOW: usize = 64;
