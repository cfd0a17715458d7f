// SPDX-License-Identifier: BSD-2-Clause
//! Explicit congestion notification (RFC 3168; `tcp_ecn.c`, 15.0).

use super::Conn;
use super::flags::{TF_ACKNOW, TF_FORCEDATA, TF2_ECN_PERMIT, TF2_ECN_SND_CWR, TF2_ECN_SND_ECE};
use super::wire::{Segment, TH_ACK, TH_CWR, TH_ECE, TH_SYN};

/// `IPTOS_ECN_MASK`
pub(crate) const ECN_MASK: u8 = 0x03;
/// `IPTOS_ECN_ECT0`
const ECT0: u8 = 0x02;
/// `IPTOS_ECN_CE`
const CE: u8 = 0x03;

impl Conn<'_, '_> {
    /// The peer's SYN-ACK agrees to ECN (`tcp_ecn_input_syn_sent`).
    pub(crate) fn ecn_input_syn_sent(&mut self, thflags: u16) {
        if thflags & (TH_CWR | TH_ECE) == TH_ECE && self.tcp.sysctl.ecn_enable != 0 {
            self.tp.t_flags2 |= TF2_ECN_PERMIT;
            self.tp.t_flags2 &= !TF2_ECN_SND_ECE;
        }
    }

    /// A SYN crossed ours and offers ECN (`tcp_ecn_input_parallel_syn`).
    pub(crate) fn ecn_input_parallel_syn(&mut self, thflags: u16) {
        if thflags & TH_ACK != 0 || self.tcp.sysctl.ecn_enable == 0 {
            return;
        }
        if thflags & (TH_CWR | TH_ECE) == TH_CWR | TH_ECE {
            self.tp.t_flags2 |= TF2_ECN_PERMIT | TF2_ECN_SND_ECE;
        }
    }

    /// Marks and echoes on a segment; true where the peer reports congestion
    /// (`tcp_ecn_input_segment`).
    pub(crate) fn ecn_input_segment(&mut self, seg: &Segment) -> bool {
        if !self.tp.has2(TF2_ECN_PERMIT) {
            return false;
        }
        if seg.has(TH_CWR) {
            self.tp.t_flags2 &= !TF2_ECN_SND_ECE;
            self.tp.set(TF_ACKNOW);
        }
        if seg.tos & ECN_MASK == CE {
            self.tp.t_rcep += 1;
            self.tp.t_flags2 |= TF2_ECN_SND_ECE;
        }
        // On a SYN the flag belongs to the negotiation.
        if seg.flags & (TH_SYN | TH_ECE) == TH_ECE {
            self.tp.t_scep += 1;
            return true;
        }
        false
    }

    /// Flags of a SYN: ECN is offered, but not for ever (`tcp_ecn_output_syn_sent`).
    pub(crate) fn ecn_output_syn_sent(&self) -> u16 {
        let retries = i64::from(self.tp.t_rxtshift);
        if self.tcp.sysctl.ecn_enable == 1 && retries <= self.tcp.sysctl.ecn_maxretries {
            TH_ECE | TH_CWR
        } else {
            0
        }
    }

    /// Flags of any other segment; returns the codepoint of the packet: new data only are
    /// ECN-capable (`tcp_ecn_output_established`).
    pub(crate) fn ecn_output_established(&mut self, flags: &mut u16, len: u32, rxmit: bool) -> u8 {
        let probe = self.tp.has(TF_FORCEDATA) && len == 1;
        let newdata = len > 0 && self.tp.snd_nxt.geq(self.tp.snd_max) && !rxmit && !probe;
        if newdata && self.tp.has2(TF2_ECN_SND_CWR) {
            *flags |= TH_CWR;
            self.tp.t_flags2 &= !TF2_ECN_SND_CWR;
        }
        if self.tp.has2(TF2_ECN_SND_ECE) {
            *flags |= TH_ECE;
        }
        if newdata { ECT0 } else { 0 }
    }
}
