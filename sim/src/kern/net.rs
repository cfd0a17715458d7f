// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's network stacks: frames in and out, their callouts, and who is woken by them.

use super::Kern;
use super::sleep::Chan;
use super::types::VnetId;
use crate::net::cx::{SoId, SoWait};
use crate::net::ifnet::IfIndex;
use crate::time::Instant;

impl Kern {
    /// A frame has come to an interface of a vnet; lost where there is no such vnet any more.
    pub fn net_input(&mut self, now: Instant, vnet: VnetId, ifindex: IfIndex, frame: &[u8]) {
        self.advance(now);
        if let Some(stack) = self.vnets.get_mut(&vnet) {
            stack.input(now, ifindex, frame);
        }
        self.socket_wakeups();
    }

    /// The next frame that a vnet sends, vnets in the order of their names.
    pub fn net_output(&mut self) -> Option<(VnetId, IfIndex, Vec<u8>)> {
        self.vnets.iter_mut().find_map(|(vnet, stack)| {
            let (ifindex, frame) = stack.take_output()?;
            Some((*vnet, ifindex, frame))
        })
    }

    /// When a vnet next has something to do by itself.
    pub fn next_net_callout(&self) -> Option<Instant> {
        self.vnets
            .values()
            .filter_map(|stack| stack.next_callout())
            .min()
    }

    /// Runs the callouts of the vnets that are due.
    pub fn run_net_callouts(&mut self, now: Instant) {
        self.advance(now);
        for stack in self.vnets.values_mut() {
            if stack.next_callout().is_some_and(|at| at <= now) {
                stack.run_callouts(now);
            }
        }
        self.socket_wakeups();
    }

    /// Wakes the sleepers of sockets on which something happened.
    pub fn socket_wakeups(&mut self) {
        let mut woken: Vec<(VnetId, SoId, SoWait)> = Vec::new();
        for (&vnet, stack) in &mut self.vnets {
            while let Some(wakeup) = stack.take_wakeup() {
                woken.push((vnet, wakeup.so, wakeup.what));
            }
        }
        for (vnet, so, what) in woken {
            self.wakeup(Chan::Socket(vnet, so, what));
        }
    }
}
