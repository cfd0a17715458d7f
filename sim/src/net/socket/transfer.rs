// SPDX-License-Identifier: BSD-2-Clause
//! Sending, receiving and readiness (`sosend_generic`, `soreceive_generic`, `sopoll`; 15-CURRENT of 2024 and 2025).

use std::net::SocketAddr;

use super::bits::{
    SS_ISCONNECTED, SS_ISCONNECTING, SS_ISDISCONNECTED, SS_ISDISCONNECTING, SS_NBIO,
};
use super::{Entry, Inet, Pcb, Proto, Socket};
use crate::errno::Errno;
use crate::net::cx::{Cx, SoError, SoId, SoWait};
use crate::net::sockbuf::{SBS_CANTRCVMORE, SBS_CANTSENDMORE, SBS_RCVATMARK};
use crate::net::tcp::{State, TcpInfo};

/// `MSG_*` of a send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// `MSG_OOB`
    pub oob: bool,
    /// `MSG_DONTWAIT`
    pub dontwait: bool,
    /// `MSG_EOF`: no more will be written.
    pub eof: bool,
}

/// `MSG_*` of a receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvFlags {
    /// `MSG_OOB`
    pub oob: bool,
    /// `MSG_PEEK`
    pub peek: bool,
    /// `MSG_DONTWAIT`
    pub dontwait: bool,
}

/// What a receive brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recv {
    /// The bytes; none at the end of a stream.
    pub data: Vec<u8>,
    /// Where a datagram came from.
    pub from: Option<SocketAddr>,
}

impl Inet {
    /// Sends (`sosend_generic`); returns how many bytes were taken.
    ///
    /// # Errors
    /// `EPIPE` where no more may be written, the socket's error, `ENOTCONN`, `EWOULDBLOCK` where
    /// the caller does not want to sleep; [`SoError::Blocked`] where there is no room.
    pub fn sosend(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        data: &[u8],
        flags: SendFlags,
        dst: Option<SocketAddr>,
    ) -> Result<usize, SoError> {
        let entry = self.entry_mut(so)?;
        match entry.so.so_proto {
            Proto::Tcp => {}
            Proto::Udp => return Ok(self.udp_send(cx, so, data, dst)?),
            Proto::Raw(_) => return Ok(self.raw_send(cx, so, data, dst)?),
        }
        if entry.so.so_snd.state(SBS_CANTSENDMORE) {
            return Err(Errno::EPIPE.into());
        }
        if let Some(errno) = entry.so.so_error.take() {
            return Err(errno.into());
        }
        if !entry.so.state(SS_ISCONNECTED) && dst.is_none() {
            return Err(Errno::ENOTCONN.into());
        }
        let space = entry.so.so_snd.space() + if flags.oob { 1024 } else { 0 };
        let wanted = data.len() as i64;
        // A buffer of no bytes has a low-water mark of none, and never room.
        let lowat = i64::from(entry.so.so_snd.sb_lowat).max(1);
        if space < wanted && space < lowat {
            let nbio = entry.so.state(SS_NBIO) || flags.dontwait;
            let errno = SoError::Errno(Errno::EWOULDBLOCK);
            return Err(if nbio {
                errno
            } else {
                SoError::Blocked(SoWait::Snd)
            });
        }
        let take = wanted.min(space).max(0) as usize;
        let connect = self.implied_connect(cx, so, dst)?;
        let all = take == data.len();
        let text = &data[..take];
        let eof = flags.eof && all;
        let result = self.with_conn(so, cx, |conn| {
            conn.usr_send(text, flags.oob, eof, false, connect)
        });
        result.unwrap_or(Err(Errno::EBADF))?;
        Ok(take)
    }

    /// A send to an address on an unconnected socket connects it (`PR_IMPLOPCL`); true where it
    /// does.
    fn implied_connect(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        dst: Option<SocketAddr>,
    ) -> Result<bool, Errno> {
        let Some(dst) = dst else { return Ok(false) };
        let entry = self.entry(so)?;
        let Pcb::Tcp(tp) = &entry.pcb else {
            return Err(Errno::EOPNOTSUPP);
        };
        if entry.inp.dropped() {
            return Err(Errno::ECONNRESET);
        }
        match tp.t_state {
            State::Listen => return Err(Errno::EINVAL),
            State::Closed => {}
            _ => return Ok(false),
        }
        let busy = SS_ISCONNECTING | SS_ISCONNECTED | SS_ISDISCONNECTING | SS_ISDISCONNECTED;
        if entry.so.state(busy) {
            return Err(Errno::EISCONN);
        }
        self.pcbconnect(cx, so, dst)?;
        Ok(true)
    }

    /// Receives at most `len` bytes (`soreceive_generic`). An empty result is the end of the
    /// stream. `MSG_WAITALL` is the caller's to arrange, by calling again.
    ///
    /// # Errors
    /// The socket's error, `ENOTCONN`, `EWOULDBLOCK` where the caller does not want to sleep;
    /// [`SoError::Blocked`] where nothing is there.
    pub fn soreceive(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        len: usize,
        flags: RecvFlags,
    ) -> Result<Recv, SoError> {
        if flags.oob {
            let byte = self.with_conn(so, cx, |conn| conn.usr_rcvoob(flags.peek));
            let byte = byte.unwrap_or(Err(Errno::EOPNOTSUPP))?;
            return Ok(Recv {
                data: vec![byte],
                from: None,
            });
        }
        let entry = self.entry_mut(so)?;
        if entry.so.sol.is_some() {
            return Err(Errno::ENOTCONN.into());
        }
        let held = entry.so.so_rcv.used();
        let short = (held as usize) < len && held < entry.so.so_rcv.sb_lowat;
        if (held == 0 || (short && !flags.dontwait))
            && let Some(done) = nothing_to_receive(entry, len, flags)?
        {
            return Ok(done);
        }
        if entry.so.so_proto != Proto::Tcp {
            return Ok(receive_record(entry, len, flags.peek));
        }
        let data = receive_bytes(entry, len, flags.peek);
        if !flags.peek {
            self.with_conn(so, cx, |conn| conn.usr_rcvd());
        }
        Ok(Recv { data, from: None })
    }

    /// A socket that has buffers: a listener has none (`soo_ioctl`).
    fn with_buffers(&self, so: SoId) -> Result<&Socket, Errno> {
        let so = &self.entry(so)?.so;
        match so.sol {
            Some(_) => Err(Errno::EINVAL),
            None => Ok(so),
        }
    }

    /// Bytes that there are to read, of all datagrams (`FIONREAD`).
    ///
    /// # Errors
    /// `EINVAL` for a listener.
    pub fn fionread(&self, so: SoId) -> Result<i32, Errno> {
        let used = self.with_buffers(so)?.so_rcv.used();
        Ok(i32::try_from(used).unwrap_or(i32::MAX))
    }

    /// Bytes in the send buffer (`FIONWRITE`).
    ///
    /// # Errors
    /// `EINVAL` for a listener.
    pub fn fionwrite(&self, so: SoId) -> Result<i32, Errno> {
        let used = self.with_buffers(so)?.so_snd.used();
        Ok(i32::try_from(used).unwrap_or(i32::MAX))
    }

    /// Room in the send buffer, 0 where more is held than its limit (`FIONSPACE`).
    ///
    /// # Errors
    /// `EINVAL` for a listener.
    pub fn fionspace(&self, so: SoId) -> Result<i32, Errno> {
        let space = self.with_buffers(so)?.so_snd.space();
        Ok(i32::try_from(space.max(0)).unwrap_or(i32::MAX))
    }

    /// 1 where the next byte is the one after the urgent mark (`SIOCATMARK`).
    ///
    /// # Errors
    /// `EINVAL` for a listener.
    pub fn siocatmark(&self, so: SoId) -> Result<i32, Errno> {
        Ok(i32::from(
            self.with_buffers(so)?.so_rcv.state(SBS_RCVATMARK),
        ))
    }

    /// Sets or clears `SS_NBIO` (`FIONBIO`).
    pub fn set_nonblocking(&mut self, so: SoId, on: bool) {
        if let Some(entry) = self.get_mut(so) {
            entry.so.so_state &= !SS_NBIO;
            entry.so.so_state |= if on { SS_NBIO } else { 0 };
        }
    }

    /// Whether a read would not block (`soreadable`).
    pub fn readable(&self, so: SoId) -> bool {
        self.get(so).is_some_and(|e| match &e.so.sol {
            Some(sol) => !sol.sol_comp.is_empty() || e.so.so_error.is_some(),
            None => {
                e.so.so_rcv.used() >= e.so.so_rcv.sb_lowat.max(1)
                    || e.so.so_rcv.state(SBS_CANTRCVMORE)
                    || e.so.so_error.is_some()
            }
        })
    }

    /// Whether a write would not block (`sowriteable`).
    pub fn writable(&self, so: SoId) -> bool {
        self.get(so).is_some_and(|e| {
            let room = e.so.so_snd.space() >= i64::from(e.so.so_snd.sb_lowat);
            let connected = e.so.state(SS_ISCONNECTED) || e.so.so_proto != Proto::Tcp;
            (room && connected && e.so.sol.is_none())
                || e.so.so_snd.state(SBS_CANTSENDMORE)
                || e.so.so_error.is_some()
        })
    }

    /// Whether out-of-band data were announced (`sohasoutofband`).
    pub fn exceptional(&self, so: SoId) -> bool {
        self.get(so)
            .is_some_and(|e| e.so.so_oobmark != 0 || e.so.so_rcv.state(SBS_RCVATMARK))
    }

    /// A connection's `TCP_INFO`.
    ///
    /// # Errors
    /// `ENOPROTOOPT` where it is no TCP socket, `ECONNRESET` where the connection has ended.
    pub fn tcp_info(&self, cx: &Cx<'_>, so: SoId) -> Result<TcpInfo, Errno> {
        let entry = self.entry(so)?;
        let Pcb::Tcp(tp) = &entry.pcb else {
            return Err(Errno::ENOPROTOOPT);
        };
        if entry.inp.dropped() {
            return Err(Errno::ECONNRESET);
        }
        Ok(TcpInfo::of(tp, cx.now))
    }
}

/// What a receive does that finds too little: an error, the end, or waiting. `None` where what is
/// there should be given after all.
fn nothing_to_receive(
    entry: &mut Entry,
    len: usize,
    flags: RecvFlags,
) -> Result<Option<Recv>, SoError> {
    let some = entry.so.so_rcv.used() > 0 || !entry.so.so_rcv.records.is_empty();
    if let Some(errno) = entry.so.so_error {
        if some {
            return Ok(None);
        }
        if !flags.peek {
            entry.so.so_error = None;
        }
        return Err(errno.into());
    }
    if entry.so.so_rcv.state(SBS_CANTRCVMORE) {
        return Ok(if some { None } else { Some(Recv::default()) });
    }
    if !entry.so.so_rcv.records.is_empty() {
        return Ok(None);
    }
    let begun = SS_ISCONNECTING | SS_ISCONNECTED | SS_ISDISCONNECTING | SS_ISDISCONNECTED;
    if entry.so.so_proto == Proto::Tcp && !entry.so.state(begun) {
        return Err(Errno::ENOTCONN.into());
    }
    if len == 0 {
        return Ok(Some(Recv::default()));
    }
    let nbio = entry.so.state(SS_NBIO) || flags.dontwait;
    let errno = SoError::Errno(Errno::EWOULDBLOCK);
    Err(if nbio {
        errno
    } else {
        SoError::Blocked(SoWait::Rcv)
    })
}

/// Takes bytes, no further than the out-of-band mark.
fn receive_bytes(entry: &mut Entry, len: usize, peek: bool) -> Vec<u8> {
    let mark = entry.so.so_oobmark as usize;
    let limit = if mark != 0 { len.min(mark) } else { len };
    let data = entry.so.so_rcv.bytes.read(limit, peek);
    if !peek {
        entry.so.so_rcv.sb_state &= !SBS_RCVATMARK;
        if mark != 0 {
            entry.so.so_oobmark -= data.len() as u32;
            if entry.so.so_oobmark == 0 {
                entry.so.so_rcv.sb_state |= SBS_RCVATMARK;
            }
        }
    }
    data
}

/// Takes a datagram; what does not fit is lost.
fn receive_record(entry: &mut Entry, len: usize, peek: bool) -> Recv {
    let record = if peek {
        entry.so.so_rcv.records.front().cloned()
    } else {
        entry.so.so_rcv.pop_record()
    };
    record.map_or_else(Recv::default, |mut record| {
        record.data.truncate(len);
        Recv {
            data: record.data,
            from: Some(record.from),
        }
    })
}
