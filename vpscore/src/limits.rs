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

/// The largest PID that FreeBSD hands out (`PID_MAX`, `sys/proc.h`), and our default per space.
pub const PID_MAX: i32 = 99_999;

/// The largest PID a space can be widened to, for benches of larger tables.
///
/// PIDs index a two-level table whose upper level is `PID_MAX_WIDE / 1024` words.
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
