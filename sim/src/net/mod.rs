// SPDX-License-Identifier: BSD-2-Clause
//! The emulated network: one stack per vnet, links, bridge, capture.
pub mod bandlim;
pub mod bridge;
pub mod checksum;
pub mod cx;
pub mod errmap;
pub mod ether;
pub mod ifnet;
pub mod inpcb;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod link;
pub mod lltable;
pub mod packet;
pub mod pcapng;
pub mod reass;
pub mod route;
pub mod sockbuf;
pub mod socket;
pub mod stack;
pub mod tcp;
mod transport;
pub mod udp;
pub mod vnet;
