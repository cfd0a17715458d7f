// SPDX-License-Identifier: BSD-2-Clause
//! All tests of this crate in one binary, which links once.

mod census;
mod codec;
mod cubic;
mod guest;
mod image;
mod instance;
mod migrate;
mod net;
mod orders;
mod packetdrill;
mod pid;
mod receiver;
mod remap;
mod segments;
mod sock;
mod sock_fields;
mod sock_restore;
mod tcp;
mod tcp_moves;
mod tcp_states;
