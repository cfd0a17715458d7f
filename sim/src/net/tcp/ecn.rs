// SPDX-License-Identifier: BSD-2-Clause
//! Explicit congestion notification (RFC 3168) and its accurate feedback (AccECN, RFC 9768 without
//! options; `tcp_ecn.c`, 15-CURRENT of early 2024).
//!
//! `net.inet.tcp.ecn.enable` says what is negotiated (`tcp(4)`): 0 nothing, 1 and 3 ask for RFC 3168
//! and for accurate feedback, 2 and 4 only agree to it. With accurate feedback the three flags AE,
//! CWR and ECE are one counter of marked packets, modulo eight (`tcp_ecn_get_ace`).

use super::Conn;
use super::flags::{
    TF_ACKNOW, TF_FORCEDATA, TF2_ACE_PERMIT, TF2_ECN_PERMIT, TF2_ECN_SND_CWR, TF2_ECN_SND_ECE,
};
use super::tcpcb::Tcpcb;
use super::wire::{Segment, TH_ACK, TH_AE, TH_CWR, TH_ECE, TH_SYN};

/// `IPTOS_ECN_MASK`
pub(crate) const ECN_MASK: u8 = 0x03;
/// `IPTOS_ECN_ECT1`
const ECT1: u8 = 0x01;
/// `IPTOS_ECN_ECT0`
const ECT0: u8 = 0x02;
/// `IPTOS_ECN_CE`
const CE: u8 = 0x03;

/// The flags that are a counter with accurate feedback.
const TH_ACE: u16 = TH_AE | TH_CWR | TH_ECE;
/// `TH_ACE_SHIFT`
const ACE_SHIFT: u32 = 6;
/// What both counters start from, so that zero is no valid start (RFC 9768 section 3.2.1).
const INIT_CEP: u32 = 5;

/// `SCF_ECN_MASK`: what an entry of the SYN cache has agreed to (`tcp_syncache.h`).
pub(crate) const SCF_ECN_MASK: u16 = 0x700;
/// RFC 3168.
pub(crate) const SCF_ECN: u16 = 0x100;
/// Accurate feedback, for a SYN that was not ECN-capable.
const SCF_ACE_N: u16 = 0x400;
/// For one with ECT(0).
const SCF_ACE_0: u16 = 0x500;
/// For one with ECT(1).
const SCF_ACE_1: u16 = 0x600;
/// For one that was marked.
const SCF_ACE_CE: u16 = 0x700;

/// The counter of a segment (`tcp_ecn_get_ace`).
fn ace(flags: u16) -> u32 {
    u32::from((flags & TH_ACE) >> ACE_SHIFT)
}

/// How the last acknowledgement of a handshake tells in which state the SYN-ACK came (RFC 9768
/// table 3).
fn handshake_ace(tos: u8) -> u32 {
    match tos & ECN_MASK {
        ECT0 => 0b100,
        ECT1 => 0b011,
        CE => 0b110,
        _ => 0b010,
    }
}

/// What the SYN cache agrees to with this SYN (`tcp_ecn_syncache_add`).
pub(crate) fn syncache_add(flags: u16, tos: u8, ecn_enable: i64) -> u16 {
    let accurate = matches!(ecn_enable, 3 | 4);
    match (ecn_enable, flags & TH_ACE) {
        (0, _) | (_, 0) => 0,
        (_, offer) if offer == TH_CWR | TH_ECE => SCF_ECN,
        (_, TH_ACE) if !accurate => SCF_ECN,
        // What has no meaning yet is taken for accurate feedback (RFC 9768 section 3.1.2).
        _ if accurate => match tos & ECN_MASK {
            ECT0 => SCF_ACE_0,
            ECT1 => SCF_ACE_1,
            CE => SCF_ACE_CE,
            _ => SCF_ACE_N,
        },
        _ => 0,
    }
}

/// The flags of the SYN-ACK (`tcp_ecn_syncache_respond`; RFC 9768 table 2).
pub(crate) fn syncache_respond(sc_flags: u16) -> u16 {
    match sc_flags & SCF_ECN_MASK {
        SCF_ECN => TH_ECE,
        SCF_ACE_N => TH_CWR,
        SCF_ACE_0 => TH_AE,
        SCF_ACE_1 => TH_ECE | TH_CWR,
        SCF_ACE_CE => TH_AE | TH_CWR,
        _ => 0,
    }
}

impl Tcpcb {
    /// A connection begins with what its entry of the SYN cache has agreed to
    /// (`tcp_ecn_syncache_socket`).
    pub(crate) fn ecn_syncache_socket(&mut self, sc_flags: u16) {
        let cep = match sc_flags & SCF_ECN_MASK {
            SCF_ECN => {
                self.t_flags2 |= TF2_ECN_PERMIT;
                return;
            }
            SCF_ACE_N | SCF_ACE_0 | SCF_ACE_1 => INIT_CEP,
            SCF_ACE_CE => INIT_CEP + 1,
            _ => return,
        };
        self.t_flags2 |= TF2_ACE_PERMIT;
        self.t_scep = cep;
        self.t_rcep = cep;
    }

    /// Settles what the connection does.
    fn ecn_agree(&mut self, flag: u32) {
        self.t_flags2 &= !(TF2_ECN_PERMIT | TF2_ACE_PERMIT);
        self.t_flags2 |= flag;
    }
}

impl Conn<'_, '_> {
    /// The peer's SYN-ACK agrees, or not (`tcp_ecn_input_syn_sent`). `tos` is how it came.
    pub(crate) fn ecn_input_syn_sent(&mut self, thflags: u16, tos: u8) {
        match self.tcp.sysctl.ecn_enable {
            1 | 2 if thflags & (TH_CWR | TH_ECE) == TH_ECE => {
                self.tp.ecn_agree(TF2_ECN_PERMIT);
                self.tp.t_flags2 &= !TF2_ECN_SND_ECE;
            }
            3 | 4 => self.ace_input_syn_sent(thflags, tos),
            _ => {}
        }
    }

    /// The SYN-ACK tells how the SYN came (RFC 9768 table 2).
    fn ace_input_syn_sent(&mut self, thflags: u16, tos: u8) {
        let delivered = match thflags & TH_ACE {
            TH_ECE => {
                self.tp.ecn_agree(TF2_ECN_PERMIT);
                None
            }
            TH_CWR | TH_AE => Some(INIT_CEP),
            flags if flags == TH_CWR | TH_ECE => Some(INIT_CEP),
            flags if flags == TH_AE | TH_CWR => Some(INIT_CEP + 1),
            _ => {
                self.tp.ecn_agree(0);
                None
            }
        };
        if let Some(cep) = delivered {
            self.tp.ecn_agree(TF2_ACE_PERMIT);
            self.tp.t_scep = cep;
            if cep != INIT_CEP {
                self.tp.snd_cwnd = 2 * self.maxseg();
            }
        }
        self.tp.t_rcep = handshake_ace(tos);
    }

    /// A SYN crossed ours and makes an offer (`tcp_ecn_input_parallel_syn`).
    pub(crate) fn ecn_input_parallel_syn(&mut self, thflags: u16, tos: u8) {
        if thflags & TH_ACK != 0 {
            return;
        }
        let (accurate, offer) = match self.tcp.sysctl.ecn_enable {
            1 | 2 => (false, thflags & (TH_CWR | TH_ECE)),
            3 | 4 => (true, thflags & TH_ACE),
            _ => return,
        };
        if offer == TH_CWR | TH_ECE {
            self.tp.ecn_agree(TF2_ECN_PERMIT);
            self.tp.t_flags2 |= TF2_ECN_SND_ECE;
        } else if offer == TH_ACE {
            self.tp.ecn_agree(TF2_ACE_PERMIT);
            self.tp.t_rcep = handshake_ace(tos);
        } else if accurate {
            self.tp.ecn_agree(0);
        }
    }

    /// Marks and echoes on a segment; true where the peer reports congestion
    /// (`tcp_ecn_input_segment`).
    pub(crate) fn ecn_input_segment(&mut self, seg: &Segment) -> bool {
        let marked = seg.tos & ECN_MASK == CE;
        if self.tp.has2(TF2_ACE_PERMIT) {
            if marked {
                self.tp.t_rcep = self.tp.t_rcep.wrapping_add(1);
            }
            return self.ace_input_segment(seg);
        }
        if !self.tp.has2(TF2_ECN_PERMIT) {
            return false;
        }
        if seg.has(TH_CWR) {
            self.tp.t_flags2 &= !TF2_ECN_SND_ECE;
            self.tp.set(TF_ACKNOW);
        }
        if marked {
            self.tp.t_flags2 |= TF2_ECN_SND_ECE;
        }
        // On a SYN the flag belongs to the negotiation.
        if seg.flags & (TH_SYN | TH_ECE) == TH_ECE {
            self.tp.t_scep = self.tp.t_scep.wrapping_add(1);
            return true;
        }
        false
    }

    /// The peer's counter moved on: as little as it can have, unless the segment acknowledges so many
    /// packets that it may have gone round (RFC 9768 section 3.2.2.5).
    fn ace_input_segment(&mut self, seg: &Segment) -> bool {
        let maxseg = self.tp.t_maxseg.max(1);
        let packets = (seg.ack - self.tp.snd_una).div_ceil(maxseg) as i32;
        let tp = &mut self.tp;
        if !tp.has2(TF2_ECN_PERMIT) {
            // The last acknowledgement of the handshake.
            tp.t_scep = INIT_CEP;
            tp.t_flags2 |= TF2_ECN_PERMIT;
            if ace(seg.flags) == 0b110 {
                tp.t_scep += 1;
                self.tp.snd_cwnd = 2 * self.maxseg();
            }
            return false;
        }
        let mut delta = ((ace(seg.flags) + 8 - (tp.t_scep & 7)) & 7) as i32;
        if delta < packets {
            delta = packets - ((packets - delta) & 7);
        }
        tp.t_scep = tp.t_scep.wrapping_add(delta as u32);
        delta != 0
    }

    /// Flags of a SYN: an offer is made, but not for ever (`tcp_ecn_output_syn_sent`).
    pub(crate) fn ecn_output_syn_sent(&self) -> u16 {
        if i64::from(self.tp.t_rxtshift) > self.tcp.sysctl.ecn_maxretries.max(0) {
            return 0;
        }
        match self.tcp.sysctl.ecn_enable {
            1 => TH_ECE | TH_CWR,
            3 => TH_ACE,
            _ => 0,
        }
    }

    /// Flags of any other segment; returns the codepoint of the packet: new data only are
    /// ECN-capable (`tcp_ecn_output_established`).
    pub(crate) fn ecn_output_established(&mut self, flags: &mut u16, len: u32, rxmit: bool) -> u8 {
        let probe = self.tp.has(TF_FORCEDATA) && len == 1;
        let newdata = len > 0 && self.tp.snd_nxt.geq(self.tp.snd_max) && !rxmit && !probe;
        let tp = &mut self.tp;
        if tp.has2(TF2_ACE_PERMIT) {
            *flags = *flags & !TH_ACE | ((tp.t_rcep << ACE_SHIFT) as u16 & TH_ACE);
            if !tp.has2(TF2_ECN_PERMIT) {
                // The last acknowledgement of the handshake told how the SYN-ACK came; from now on
                // the counter counts.
                tp.t_rcep = INIT_CEP + u32::from(tp.t_rcep == 0b110);
                tp.t_flags2 |= TF2_ECN_PERMIT;
            }
        } else {
            if newdata && tp.has2(TF2_ECN_SND_CWR) {
                *flags |= TH_CWR;
                tp.t_flags2 &= !TF2_ECN_SND_CWR;
            }
            if tp.has2(TF2_ECN_SND_ECE) {
                *flags |= TH_ECE;
            }
        }
        if newdata { ECT0 } else { 0 }
    }
}

#[cfg(test)]
#[path = "ecn_tests.rs"]
mod tests;
