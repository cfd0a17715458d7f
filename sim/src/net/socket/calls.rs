// SPDX-License-Identifier: BSD-2-Clause
//! The calls of the socket layer (`so*`; `uipc_socket.c`, `uipc_syscalls.c`, 15.0).

use std::net::{IpAddr, SocketAddr};

use super::bits::{
    SO_ACCEPTCONN, SO_LINGER, SO_REUSEPORT_LB, SS_ISCONNECTED, SS_ISCONNECTING, SS_ISDISCONNECTED,
    SS_ISDISCONNECTING, SS_NBIO,
};
use super::{BufSettings, Domain, Entry, Inet, Listen, Pcb, Proto};
use crate::errno::Errno;
use crate::net::cx::{Cx, SoError, SoId, SoWait};
use crate::net::inpcb::{
    IN6P_IPV6_V6ONLY, INP_ANONPORT, INP_HIGHPORT, INP_IPV4, INP_IPV6, INP_LOWPORT, InConninfo,
    unspecified,
};
use crate::net::sockbuf::{SB_AUTOSIZE, Sockbuf};
use crate::net::tcp::Tcpcb;

/// Low-water mark for sending (`MCLBYTES`).
const SND_LOWAT: u32 = 2048;

/// `SHUT_*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// No more reading.
    Rd,
    /// No more writing.
    Wr,
    /// Neither.
    RdWr,
}

impl Inet {
    pub(super) fn entry(&self, so: SoId) -> Result<&Entry, Errno> {
        self.get(so).ok_or(Errno::EBADF)
    }

    pub(super) fn entry_mut(&mut self, so: SoId) -> Result<&mut Entry, Errno> {
        self.get_mut(so).ok_or(Errno::EBADF)
    }

    /// Makes a socket (`socreate`); its descriptor is its one reference.
    ///
    /// # Errors
    /// `ENOBUFS` where a buffer of the default size is more than `kern.ipc.maxsockbuf` allows; the
    /// table has no limit of its own, `kern.ipc.maxsockets` is the kernel's.
    pub fn socreate(
        &mut self,
        cx: &mut Cx<'_>,
        domain: Domain,
        proto: Proto,
    ) -> Result<SoId, Errno> {
        let sysctl = &self.tcp.sysctl;
        let (pcb, mut rcv, mut snd) = match proto {
            Proto::Tcp => {
                let tp = Tcpcb::new(sysctl, domain == Domain::Inet6, cx.now);
                let rcv = Sockbuf::reserve(sysctl.recvspace as u32, 1);
                let snd = Sockbuf::reserve(sysctl.sendspace as u32, SND_LOWAT);
                (Pcb::Tcp(Box::new(tp)), rcv, snd)
            }
            Proto::Udp => (
                Pcb::Udp,
                Sockbuf::reserve(sysctl.udp_recvspace as u32, 1),
                Sockbuf::reserve(sysctl.udp_sendspace as u32, SND_LOWAT),
            ),
            Proto::Raw(_) => (
                Pcb::Raw,
                Sockbuf::reserve(sysctl.raw_recvspace as u32, 1),
                Sockbuf::reserve(sysctl.raw_sendspace as u32, SND_LOWAT),
            ),
        };
        // soreserve refuses what sb_max does not allow.
        let max = sysctl.sb_max_adj();
        if rcv.sb_hiwat > max || snd.sb_hiwat > max {
            return Err(Errno::ENOBUFS);
        }
        if proto == Proto::Tcp {
            rcv.sb_flags |= SB_AUTOSIZE;
            snd.sb_flags |= SB_AUTOSIZE;
        }
        let so = self.alloc(domain, proto, (rcv, snd), pcb);
        // in_pcballoc: mapped addresses are for those who ask, unless the vnet says otherwise.
        let v6only = self.tcp.sysctl.v6only != 0;
        // tcp_newtcpcb, udp_attach: a default that is changed later is for later sockets.
        let ttl = cx.ip.default_ttl(unspecified(false));
        if let Some(entry) = self.get_mut(so) {
            entry.inp.inp_ip_ttl = ttl;
            if domain == Domain::Inet6 {
                entry.inp.set_v6only(v6only);
            }
        }
        self.soref(so);
        Ok(so)
    }

    /// The address behind the one that a program names as its peer: IPv4 in IPv6's clothes is IPv4
    /// (`tcp6_usr_connect`, `udp6_connect`).
    ///
    /// # Errors
    /// `EINVAL` for a mapped address where the socket is for IPv6 only, `EAFNOSUPPORT` for a family
    /// that it does not have, or no longer since it was bound.
    pub(crate) fn unmap(entry: &Entry, addr: IpAddr) -> Result<IpAddr, Errno> {
        match (entry.so.so_domain, addr) {
            (Domain::Inet, IpAddr::V4(_)) => Ok(addr),
            (Domain::Inet6, IpAddr::V6(six)) => match six.to_ipv4_mapped() {
                Some(_) if entry.inp.inp_flags & IN6P_IPV6_V6ONLY != 0 => Err(Errno::EINVAL),
                Some(_) if entry.inp.inp_vflag & INP_IPV4 == 0 => Err(Errno::EAFNOSUPPORT),
                Some(four) => Ok(IpAddr::V4(four)),
                None if entry.inp.inp_vflag & INP_IPV6 == 0 => Err(Errno::EAFNOSUPPORT),
                None => Ok(addr),
            },
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// An address as the program of this socket sees it.
    pub(crate) fn map(entry: &Entry, addr: IpAddr, port: u16) -> SocketAddr {
        let seen = match (entry.so.so_domain, addr) {
            (Domain::Inet6, IpAddr::V4(four)) if four.is_unspecified() => unspecified(true),
            (Domain::Inet6, IpAddr::V4(four)) => IpAddr::V6(four.to_ipv6_mapped()),
            _ => addr,
        };
        SocketAddr::new(seen, port)
    }

    /// Gives a socket a local address (`sobind`, `in_pcbbind`).
    ///
    /// # Errors
    /// `EINVAL` where it has one, `EADDRNOTAVAIL` for an address not of this host, `EADDRINUSE`,
    /// `EAFNOSUPPORT` for another family.
    pub fn sobind(&mut self, cx: &mut Cx<'_>, so: SoId, addr: SocketAddr) -> Result<(), Errno> {
        let entry = self.entry(so)?;
        if entry.inp.dropped() || entry.inp.inc.lport != 0 || !entry.inp.inc.laddr.is_unspecified()
        {
            return Err(Errno::EINVAL);
        }
        let laddr = match Self::unmap(entry, addr.ip()) {
            // tcp6_usr_bind looks for the mapped address among its own, where it is not.
            Err(Errno::EINVAL) => return Err(Errno::EADDRNOTAVAIL),
            laddr => laddr?,
        };
        let tcp = entry.so.so_proto == Proto::Tcp;
        if tcp && laddr.is_multicast() {
            return Err(Errno::EAFNOSUPPORT);
        }
        let any = laddr.is_unspecified();
        if !any && !laddr.is_multicast() && !cx.ip.is_local(laddr) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let vflag = bind_vflag(entry, laddr);
        let reuse = entry.reuse();
        let info = if tcp { &self.tcp.tcbinfo } else { &self.udb };
        let mut inc = InConninfo {
            laddr,
            lport: addr.port(),
            ..entry.inp.inc
        };
        let raw = matches!(entry.so.so_proto, Proto::Raw(_));
        let mut anon = false;
        if raw {
            inc.lport = 0;
        } else if inc.lport == 0 {
            let range = self.port_range(entry);
            inc.lport = info.ephemeral_port(&inc, range, cx.rng)?;
            anon = true;
        } else if !tcp && Some(inc.lport) == self.tunnel_port() {
            // The kernel's own socket has it (tcp_over_udp_start).
            return Err(Errno::EADDRINUSE);
        } else {
            info.bind_available(laddr, inc.lport, vflag, reuse)?;
        }
        let entry = self.entry_mut(so)?;
        entry.inp.inc = inc;
        entry.inp.inp_vflag = vflag;
        if anon {
            entry.inp.inp_flags |= INP_ANONPORT;
        }
        self.settle(so, cx.now);
        Ok(())
    }

    /// Makes a socket accept connections (`solisten`).
    ///
    /// # Errors
    /// `EINVAL` where it is connected or connecting, `EOPNOTSUPP` where it is no stream.
    pub fn solisten(&mut self, cx: &mut Cx<'_>, so: SoId, backlog: i32) -> Result<(), Errno> {
        let entry = self.entry(so)?;
        if entry.so.so_proto != Proto::Tcp {
            return Err(Errno::EOPNOTSUPP);
        }
        let busy = SS_ISCONNECTED | SS_ISCONNECTING | SS_ISDISCONNECTING;
        if entry.inp.dropped() || entry.so.state(busy) {
            return Err(Errno::EINVAL);
        }
        let max = self.tcp.sysctl.somaxconn;
        let qlimit = if (0..=max).contains(&i64::from(backlog)) {
            i64::from(backlog)
        } else {
            max
        };
        if entry.inp.inc.lport == 0 {
            let inc = entry.inp.inc;
            let vflag = bind_vflag(entry, inc.laddr);
            let range = self.port_range(entry);
            let lport = self.tcp.tcbinfo.ephemeral_port(&inc, range, cx.rng)?;
            let entry = self.entry_mut(so)?;
            entry.inp.inc.lport = lport;
            entry.inp.inp_vflag = vflag;
            entry.inp.inp_flags |= INP_ANONPORT;
        }
        let entry = self.entry_mut(so)?;
        entry.so.so_options |= SO_ACCEPTCONN;
        match &mut entry.so.sol {
            Some(sol) => sol.sol_qlimit = qlimit as u32,
            None => {
                entry.so.sol = Some(Box::new(Listen {
                    sol_qlimit: qlimit as u32,
                    sol_sbrcv: BufSettings::of(&entry.so.so_rcv),
                    sol_sbsnd: BufSettings::of(&entry.so.so_snd),
                    ..Listen::default()
                }));
            }
        }
        self.with_conn(so, cx, |conn| conn.usr_listen());
        Ok(())
    }

    /// The ports that an unbound socket may get (`in_pcb_lport_dest`).
    pub(crate) fn port_range(&self, entry: &Entry) -> (u16, u16) {
        let sysctl = &self.tcp.sysctl;
        let (a, b) = match entry.inp.inp_flags & (INP_HIGHPORT | INP_LOWPORT) {
            0 => (sysctl.portrange_first, sysctl.portrange_last),
            INP_LOWPORT => (sysctl.portrange_lowfirst, sysctl.portrange_lowlast),
            _ => (sysctl.portrange_hifirst, sysctl.portrange_hilast),
        };
        (a.min(b) as u16, a.max(b) as u16)
    }

    /// Whom a connection to this address is to: to nowhere is to this host itself where the vnet
    /// allows that (`in_pcbconnect`, `in6_pcbladdr`).
    ///
    /// # Errors
    /// `ENETUNREACH` for the unspecified address otherwise.
    pub(crate) fn connect_address(&self, faddr: IpAddr) -> Result<IpAddr, Errno> {
        let sysctl = &self.tcp.sysctl;
        let (wild, own) = if faddr.is_ipv6() {
            let own = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
            (sysctl.connect_in6addr_wild, own)
        } else {
            let own = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
            (sysctl.connect_inaddr_wild, own)
        };
        match (faddr.is_unspecified(), wild != 0) {
            (false, _) => Ok(faddr),
            (true, true) => Ok(own),
            (true, false) => Err(Errno::ENETUNREACH),
        }
    }

    /// Chooses the addresses of a connection to `peer` (`in_pcbconnect`).
    pub(super) fn pcbconnect(
        &mut self,
        cx: &mut Cx<'_>,
        so: SoId,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        let entry = self.entry(so)?;
        let mut faddr = Self::unmap(entry, peer.ip())?;
        if faddr.is_multicast() {
            return Err(Errno::EAFNOSUPPORT);
        }
        if faddr == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
            return Err(Errno::EACCES);
        }
        if entry.so.option(SO_REUSEPORT_LB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if peer.port() == 0 {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let mut inc = entry.inp.inc;
        faddr = self.connect_address(faddr)?;
        if inc.laddr.is_unspecified() {
            inc.laddr = cx.ip.source_for(faddr)?;
        } else if inc.laddr.is_ipv6() != faddr.is_ipv6() {
            return Err(Errno::EAFNOSUPPORT);
        }
        inc.faddr = faddr;
        inc.fport = peer.port();
        let mut anon = false;
        if inc.lport == 0 {
            let range = self.port_range(entry);
            inc.lport = self.tcp.tcbinfo.ephemeral_port(&inc, range, cx.rng)?;
            anon = true;
        } else if self.tcp.tcbinfo.lookup_exact(&inc).is_some() {
            return Err(Errno::EADDRINUSE);
        }
        let entry = self.entry_mut(so)?;
        entry.inp.inc = inc;
        entry.inp.inp_vflag = entry.inp.inp_vflag & !(INP_IPV4 | INP_IPV6)
            | if faddr.is_ipv6() { INP_IPV6 } else { INP_IPV4 };
        if anon {
            entry.inp.inp_flags |= INP_ANONPORT;
        }
        Ok(())
    }

    /// Begins a connection (`kern_connectat`, `tcp_usr_connect`).
    ///
    /// Success means that the attempt is under way. A caller that may sleep then asks
    /// [`Inet::soconnected`] until that no longer blocks; a non-blocking one reports `EINPROGRESS`
    /// while [`Inet::connecting`].
    ///
    /// # Errors
    /// `EALREADY`, `EISCONN`, `EOPNOTSUPP` for a listener, `ECONNREFUSED` for a socket whose
    /// connection ended, address and route errors.
    pub fn soconnect(&mut self, cx: &mut Cx<'_>, so: SoId, peer: SocketAddr) -> Result<(), Errno> {
        let entry = self.entry_mut(so)?;
        if entry.so.so_proto != Proto::Tcp {
            return self.datagram_connect(cx, so, peer);
        }
        if entry.so.sol.is_some() {
            return Err(Errno::EOPNOTSUPP);
        }
        if entry.so.state(SS_ISCONNECTING) {
            return Err(Errno::EALREADY);
        }
        if entry.so.state(SS_ISCONNECTED) {
            return Err(Errno::EISCONN);
        }
        entry.so.so_error = None;
        if entry.inp.dropped() {
            return Err(Errno::ECONNREFUSED);
        }
        if entry.so.state(SS_ISDISCONNECTING | SS_ISDISCONNECTED) {
            return Err(Errno::EISCONN);
        }
        self.pcbconnect(cx, so, peer)?;
        let result = self.with_conn(so, cx, |conn| conn.usr_connect());
        let result = result.unwrap_or(Err(Errno::EBADF));
        if result.is_err()
            && let Some(entry) = self.get_mut(so)
        {
            entry.so.so_state &= !SS_ISCONNECTING;
        }
        result
    }

    /// Whether a connection attempt is under way (`SS_ISCONNECTING`).
    pub fn connecting(&self, so: SoId) -> bool {
        self.get(so)
            .is_some_and(|entry| entry.so.state(SS_ISCONNECTING))
    }

    /// Whether what [`Inet::soconnect`] began is done.
    ///
    /// # Errors
    /// [`SoError::Blocked`] while it is not; the socket's error, which is taken off it.
    pub fn soconnected(&mut self, so: SoId) -> Result<(), SoError> {
        let entry = self.entry_mut(so)?;
        if entry.so.state(SS_ISCONNECTING) && entry.so.so_error.is_none() {
            return Err(SoError::Blocked(SoWait::Timeo));
        }
        entry.so.so_state &= !SS_ISCONNECTING;
        match entry.so.so_error.take() {
            Some(errno) => Err(errno.into()),
            None => Ok(()),
        }
    }

    /// Takes the oldest connection off a listener's queue (`kern_accept4`).
    ///
    /// # Errors
    /// `EINVAL` where the socket does not listen, its error, `ECONNABORTED` where the connection
    /// has ended meanwhile; [`SoError::Blocked`] where the queue is empty.
    pub fn soaccept(&mut self, cx: &mut Cx<'_>, so: SoId) -> Result<(SoId, SocketAddr), SoError> {
        let entry = self.entry_mut(so)?;
        let nbio = entry.so.state(SS_NBIO);
        let Some(sol) = &mut entry.so.sol else {
            return Err(Errno::EINVAL.into());
        };
        // Its error comes first (solisten_dequeue).
        if let Some(errno) = entry.so.so_error.take() {
            return Err(errno.into());
        }
        let Some(new) = sol.sol_comp.pop_front() else {
            let errno = SoError::Errno(Errno::EWOULDBLOCK);
            return Err(if nbio {
                errno
            } else {
                SoError::Blocked(SoWait::Rcv)
            });
        };
        let entry = self.entry_mut(new)?;
        entry.so.so_listen = None;
        // The queue's reference becomes the descriptor's.
        if entry.inp.dropped() || entry.so.state(SS_ISDISCONNECTED) {
            self.soclose(cx, new)?;
            return Err(Errno::ECONNABORTED.into());
        }
        let peer = Self::map(entry, entry.inp.inc.faddr, entry.inp.inc.fport);
        Ok((new, peer))
    }

    /// Ends one or both directions (`soshutdown`, `tcp_usr_shutdown`).
    ///
    /// # Errors
    /// `ENOTCONN`, for a listener too although its sleepers are woken with an error then;
    /// `ECONNRESET` where the connection has ended.
    pub fn soshutdown(&mut self, cx: &mut Cx<'_>, so: SoId, how: Shut) -> Result<(), Errno> {
        let entry = self.entry_mut(so)?;
        if entry.so.sol.is_some() {
            if how != Shut::Wr {
                entry.so.so_error = Some(Errno::ECONNABORTED);
                cx.wakeup(so, SoWait::Rcv);
            }
            return Err(Errno::ENOTCONN);
        }
        if !entry
            .so
            .state(SS_ISCONNECTED | SS_ISCONNECTING | SS_ISDISCONNECTING)
        {
            return Err(Errno::ENOTCONN);
        }
        if how != Shut::Wr {
            entry.so.socantrcvmore(cx);
            entry.so.so_rcv.flush();
            entry.so.so_rcv.sb_hiwat = 0;
        }
        let mut result = Ok(());
        if how != Shut::Rd {
            let tcp = self.with_conn(so, cx, |conn| conn.usr_shutdown_write());
            match tcp {
                Some(tcp) => result = tcp,
                None => self.entry_mut(so)?.so.socantsendmore(cx),
            }
        }
        cx.wakeup(so, SoWait::Timeo);
        result
    }

    /// Gives up the descriptor's reference (`soclose`).
    ///
    /// # Errors
    /// [`SoError::Blocked`] where the socket lingers: the caller calls again after the wakeup, or
    /// [`Inet::soclose_now`] when the time is up.
    pub fn soclose(&mut self, cx: &mut Cx<'_>, so: SoId) -> Result<(), SoError> {
        self.entry(so)?;
        if self.solinger(cx, so).is_some() {
            return Err(SoError::Blocked(SoWait::Timeo));
        }
        self.soclose_now(cx, so);
        Ok(())
    }

    /// The first part of a close, which disconnects: for how many seconds at most the caller waits then, where the
    /// socket lingers and is still connected.
    pub fn solinger(&mut self, cx: &mut Cx<'_>, so: SoId) -> Option<u64> {
        let entry = self.get(so)?;
        if !entry.so.state(SS_ISCONNECTED) || entry.so.so_proto != Proto::Tcp {
            return None;
        }
        if !entry.so.state(SS_ISDISCONNECTING) {
            let _ = self.with_conn(so, cx, |conn| conn.usr_disconnect());
        }
        let so = &self.get(so)?.so;
        let lingers = so.option(SO_LINGER) && so.state(SS_ISCONNECTED) && !so.state(SS_NBIO);
        let seconds = u64::try_from(so.so_linger).ok()?;
        (lingers && seconds != 0).then_some(seconds)
    }

    /// The last part of a close, which never waits.
    pub fn soclose_now(&mut self, cx: &mut Cx<'_>, so: SoId) {
        self.with_conn(so, cx, |conn| conn.usr_close());
        let queue = match self.get_mut(so).and_then(|entry| entry.so.sol.as_mut()) {
            Some(sol) => std::mem::take(&mut sol.sol_comp),
            None => Default::default(),
        };
        self.sorele(so, cx.now);
        for waiting in queue {
            self.with_conn(waiting, cx, |conn| conn.usr_abort());
            self.sorele(waiting, cx.now);
        }
        self.release_tfo();
    }

    /// The local address (`getsockname(2)`).
    ///
    /// # Errors
    /// `EBADF` for an unknown socket.
    pub fn sockname(&self, so: SoId) -> Result<SocketAddr, Errno> {
        let entry = self.entry(so)?;
        Ok(Self::map(entry, entry.inp.inc.laddr, entry.inp.inc.lport))
    }

    /// The peer's address (`getpeername(2)`).
    ///
    /// # Errors
    /// `ENOTCONN` where there is none.
    pub fn peername(&self, so: SoId) -> Result<SocketAddr, Errno> {
        let entry = self.entry(so)?;
        if !entry.so.state(SS_ISCONNECTED) {
            return Err(Errno::ENOTCONN);
        }
        Ok(Self::map(entry, entry.inp.inc.faddr, entry.inp.inc.fport))
    }
}

/// The families that a bound socket takes part in (`tcp6_usr_bind`).
fn bind_vflag(entry: &Entry, laddr: IpAddr) -> u8 {
    let base = entry.inp.inp_vflag & !(INP_IPV4 | INP_IPV6);
    if laddr.is_ipv4() {
        base | INP_IPV4
    } else if laddr.is_unspecified() && entry.inp.inp_flags & IN6P_IPV6_V6ONLY == 0 {
        base | INP_IPV4 | INP_IPV6
    } else {
        base | INP_IPV6
    }
}
