// SPDX-License-Identifier: BSD-2-Clause
//! The states of a connection (RFC 9293 section 3.3.2; numbers and names of `netinet/tcp_fsm.h`).

use super::wire::{TH_ACK, TH_FIN, TH_RST, TH_SYN};

/// `t_state`. The order is FreeBSD's and is relied on: later states compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// `TCPS_CLOSED`
    Closed = 0,
    /// `TCPS_LISTEN`
    Listen = 1,
    /// `TCPS_SYN_SENT`
    SynSent = 2,
    /// `TCPS_SYN_RECEIVED`
    SynReceived = 3,
    /// `TCPS_ESTABLISHED`
    Established = 4,
    /// `TCPS_CLOSE_WAIT`: the peer has closed.
    CloseWait = 5,
    /// `TCPS_FIN_WAIT_1`: this side has closed, its FIN is not acknowledged.
    FinWait1 = 6,
    /// `TCPS_CLOSING`: both have closed, this side's FIN is not acknowledged.
    Closing = 7,
    /// `TCPS_LAST_ACK`: the peer closed first, this side's FIN is not acknowledged.
    LastAck = 8,
    /// `TCPS_FIN_WAIT_2`: this side has closed, its FIN is acknowledged.
    FinWait2 = 9,
    /// `TCPS_TIME_WAIT`: both have closed, all is acknowledged.
    TimeWait = 10,
}

impl State {
    /// All states in order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::CloseWait,
        Self::FinWait1,
        Self::Closing,
        Self::LastAck,
        Self::FinWait2,
        Self::TimeWait,
    ];

    /// `TCPS_HAVERCVDSYN`.
    pub fn have_rcvd_syn(self) -> bool {
        self >= Self::SynReceived
    }

    /// `TCPS_HAVEESTABLISHED`.
    pub fn have_established(self) -> bool {
        self >= Self::Established
    }

    /// `TCPS_HAVERCVDFIN`: the peer has sent its FIN.
    pub fn have_rcvd_fin(self) -> bool {
        self == Self::CloseWait || (self >= Self::Closing && self != Self::FinWait2)
    }

    /// `tcp_outflags`: the flags of a segment sent in this state.
    pub(crate) fn outflags(self) -> u16 {
        match self {
            Self::Closed => TH_RST | TH_ACK,
            Self::Listen => 0,
            Self::SynSent => TH_SYN,
            Self::SynReceived => TH_SYN | TH_ACK,
            Self::Established | Self::CloseWait | Self::FinWait2 | Self::TimeWait => TH_ACK,
            Self::FinWait1 | Self::Closing | Self::LastAck => TH_FIN | TH_ACK,
        }
    }

    /// The name as `netstat(1)` and `sockstat(1)` print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RCVD",
            Self::Established => "ESTABLISHED",
            Self::CloseWait => "CLOSE_WAIT",
            Self::FinWait1 => "FIN_WAIT_1",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::FinWait2 => "FIN_WAIT_2",
            Self::TimeWait => "TIME_WAIT",
        }
    }
}
