// SPDX-License-Identifier: BSD-2-Clause
//! What the socket layer asks of a connection (`tcp_usrreq.c`, 15-CURRENT of early 2024).

use super::Conn;
use super::flags::{
    TCPOOB_HADDATA, TCPOOB_HAVEDATA, TF_CLOSED, TF_FASTOPEN, TF_FORCEDATA, TF_MORETOCOME,
    TF_NEEDFIN, TF_REQ_TSTMP, TF2_FBYTES_COMPLETE,
};
use super::fsm::State;
use super::reass::Segq;
use super::tcpcb::{SackHint, Timer};
use crate::errno::Errno;
use crate::net::inpcb::INP_SOCKREF;
use crate::net::sockbuf::SBS_RCVATMARK;
use crate::net::socket::Domain;
use crate::net::socket::bits::{SO_LINGER, SO_OOBINLINE};

/// `TTCP_CLIENT_SND_WND`: window assumed for text sent with an implied connect.
const TTCP_CLIENT_SND_WND: u32 = 4096;

impl Conn<'_, '_> {
    /// Enters SYN-SENT; addresses are set (`tcp_connect`).
    fn enter_syn_sent(&mut self) {
        self.tp.request_r_scale = self.tcp.sysctl.window_scale();
        self.so.soisconnecting();
        self.state_change(State::SynSent);
        let inc = self.inp.inc;
        let sysctl = self.tcp.sysctl.clone();
        let known = self.tcp.syncache.known_as.ends(&inc);
        self.tp.iss = self.tcp.isn.next(&known, &sysctl, self.cx);
        if self.tp.has(TF_REQ_TSTMP) {
            self.tp.ts_offset = self.tcp.ts_offset(&inc);
        }
        if inc.is_v6() {
            self.inp.inp_flow = self.cx.rng.next_u64() as u32 & 0x000f_ffff;
        }
        self.tp.sendseqinit();
    }

    /// Sends the SYN (`tcp_usr_connect`).
    pub(crate) fn usr_connect(&mut self) -> Result<(), Errno> {
        self.enter_syn_sent();
        // tcp6_usr_connect starts no timer for a mapped address: only the retransmissions end that.
        if self.so.so_domain == Domain::Inet || self.is_v6() {
            let keepinit = self.keepinit();
            self.activate(Timer::Keep, keepinit);
        }
        self.output()
    }

    /// `tcp_usr_listen`
    pub(crate) fn usr_listen(&mut self) {
        self.state_change(State::Listen);
        // Of a connection that this was before nothing is looked at again.
        self.tp.snd_holes.clear();
        self.tp.sackhint = SackHint::default();
        self.tp.rcv_numsacks = 0;
        self.tp.t_segq = Segq::default();
        if self.tp.has(TF_FASTOPEN) {
            self.tp.t_tfo_pending_count.get_or_insert(0);
        }
    }

    /// Queues text and sends (`tcp_usr_send`); `connect` where the send implies a connect, whose
    /// addresses are set.
    pub(crate) fn usr_send(
        &mut self,
        data: &[u8],
        oob: bool,
        eof: bool,
        more: bool,
        connect: bool,
    ) -> Result<(), Errno> {
        if self.inp.dropped() {
            return Err(Errno::ECONNRESET);
        }
        if self.tp.t_acktime == 0 {
            self.tp.t_acktime = self.ticks();
        }
        self.so.so_snd.bytes.extend(data);
        if connect {
            if oob {
                self.tp.clear(TF_FASTOPEN);
            }
            self.implied_connect();
        }
        if oob {
            self.tp.snd_up = self.tp.snd_una + self.so.so_snd.used();
            self.tp.set(TF_FORCEDATA);
            let result = self.output();
            self.tp.clear(TF_FORCEDATA);
            return result;
        }
        if eof {
            self.so.socantsendmore(self.cx);
            self.usrclosed();
        }
        self.first_byte_out();
        if self.inp.dropped() {
            return Ok(());
        }
        if more {
            self.tp.set(TF_MORETOCOME);
        }
        let result = self.output();
        self.tp.clear(TF_MORETOCOME);
        result
    }

    fn implied_connect(&mut self) {
        self.enter_syn_sent();
        if self.tp.has(TF_FASTOPEN) {
            self.fastopen_connect();
        } else {
            self.tp.snd_wnd = TTCP_CLIENT_SND_WND;
            self.mss(None);
        }
    }

    fn first_byte_out(&mut self) {
        let waiting = self.tp.t_state.have_established()
            && !self.tp.has2(TF2_FBYTES_COMPLETE)
            && self.tp.t_fbyte_out == 0
            && self.so.so_snd.used() > 0;
        if waiting {
            self.tp.t_fbyte_out = self.ticks().max(1);
            if self.tp.t_fbyte_in != 0 {
                self.tp.t_flags2 |= TF2_FBYTES_COMPLETE;
            }
        }
    }

    /// The reader took text: perhaps the peer should know (`tcp_usr_rcvd`).
    pub(crate) fn usr_rcvd(&mut self) {
        if self.inp.dropped() {
            return;
        }
        // A Fast Open SYN-ACK waits for text to take along.
        if self.tp.has(TF_FASTOPEN) && self.tp.t_state == State::SynReceived {
            return;
        }
        let _ = self.output();
    }

    /// The out-of-band byte (`tcp_usr_rcvoob`).
    pub(crate) fn usr_rcvoob(&mut self, peek: bool) -> Result<u8, Errno> {
        if self.inp.dropped() {
            return Err(Errno::ECONNRESET);
        }
        let mark = self.so.so_oobmark != 0 || self.so.so_rcv.state(SBS_RCVATMARK);
        if !mark || self.so.option(SO_OOBINLINE) || self.tp.t_oobflags & TCPOOB_HADDATA != 0 {
            return Err(Errno::EINVAL);
        }
        if self.tp.t_oobflags & TCPOOB_HAVEDATA == 0 {
            return Err(Errno::EWOULDBLOCK);
        }
        if !peek {
            self.tp.t_oobflags ^= TCPOOB_HAVEDATA | TCPOOB_HADDATA;
        }
        Ok(self.tp.t_iobc)
    }

    /// No more will be written (`tcp_usr_shutdown`).
    pub(crate) fn usr_shutdown_write(&mut self) -> Result<(), Errno> {
        if self.inp.dropped() {
            return Err(Errno::ECONNRESET);
        }
        self.so.socantsendmore(self.cx);
        self.usrclosed();
        if self.inp.dropped() {
            Ok(())
        } else {
            self.output()
        }
    }

    /// Begins or goes on with disconnecting (`tcp_disconnect`).
    pub(crate) fn disconnect(&mut self) {
        let tfo = self.tp.t_state > State::Listen && self.tp.has(TF_FASTOPEN);
        if self.tp.t_state < State::Established && !tfo {
            self.close();
        } else if self.so.option(SO_LINGER) && self.so.so_linger == 0 {
            self.drop_connection(None);
        } else {
            self.so.soisdisconnecting(self.cx);
            self.so.so_rcv.flush();
            self.usrclosed();
            if !self.inp.dropped() {
                let _ = self.output();
            }
        }
    }

    /// `tcp_usr_disconnect`
    pub(crate) fn usr_disconnect(&mut self) -> Result<(), Errno> {
        if self.inp.dropped() {
            return Err(Errno::ECONNRESET);
        }
        if self.tp.t_state != State::TimeWait {
            self.disconnect();
        }
        Ok(())
    }

    /// The descriptor is gone; the connection ends by itself (`tcp_usr_close`).
    pub(crate) fn usr_close(&mut self) {
        if !self.inp.dropped() && self.tp.t_state != State::TimeWait {
            self.tp.set(TF_CLOSED);
            self.disconnect();
        }
        self.keep_socket();
    }

    /// Nobody will ever take the connection (`tcp_usr_abort`).
    pub(crate) fn usr_abort(&mut self) {
        if !self.inp.dropped() {
            self.drop_connection(Some(Errno::ECONNABORTED));
        }
        self.keep_socket();
    }

    /// A connection that goes on holds its socket (`INP_SOCKREF`).
    fn keep_socket(&mut self) {
        if !self.inp.dropped() && self.inp.inp_flags & INP_SOCKREF == 0 {
            self.so.so_count += 1;
            self.inp.inp_flags |= INP_SOCKREF;
        }
    }

    /// The user will write no more: the state that follows (`tcp_usrclosed`).
    fn usrclosed(&mut self) {
        match self.tp.t_state {
            State::Listen | State::Closed => {
                self.state_change(State::Closed);
                self.close();
            }
            State::SynSent | State::SynReceived => self.tp.set(TF_NEEDFIN),
            State::Established => self.state_change(State::FinWait1),
            State::CloseWait => self.state_change(State::LastAck),
            _ => {}
        }
        if self.tp.t_acktime == 0 {
            self.tp.t_acktime = self.ticks();
        }
        if self.tp.t_state >= State::FinWait2 {
            self.so.soisdisconnected(self.cx);
            if self.tp.t_state == State::FinWait2 {
                let wait = if self.tcp.sysctl.fast_finwait2_recycle != 0 {
                    self.tcp.sysctl.finwait2_timeout as u32
                } else {
                    self.maxidle()
                };
                self.activate(Timer::Msl2, wait);
            }
        }
    }
}
