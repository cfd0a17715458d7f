// SPDX-License-Identifier: BSD-2-Clause
//! A record of each kind that tests alter: connections, processes, an instance.

use super::list;
use vpscore::cbor::{Bytes, Text};
use vpscore::image::schema::{
    Abi, Blocked, Instance, InstanceLimit, InstanceState, Itimer, Ksiginfo, Proc, ProcState,
    Registers, Rlimit, RngState, Rusage, Selected, Sigqueue, Thread, Wchan,
};
use vpscore::image::{Header, Ref, features};
use vpscore::sock::{
    CcAlgo, CcVar, Cubic, Domain, Hystart, INP_IPV4, InAddr, InConninfo, Inpcb, Listen,
    SB_AUTOSIZE, SO_ACCEPTCONN, SackBlk, SackHint, SackHole, Seq, SoQstate, SoType, Sockbuf,
    Socket, Syncache, TF_RCVD_SCALE, TF_REQ_SCALE, TF_SACK_PERMIT, TcpState, TcpTimers, Tcpcb, Tfo,
    Tseg,
};
use vpscore::time::Duration;

/// A text of a record.
pub(super) fn text(s: &str) -> Text {
    Text::copy(s).expect("memory")
}

/// Bytes of a record.
pub(super) fn bytes(b: &[u8]) -> Bytes {
    Bytes::copy(b).expect("memory")
}

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) const SERVER: InAddr = InAddr::V4([10, 0, 0, 2]);
pub(super) const CLIENT: InAddr = InAddr::V4([10, 0, 0, 9]);

/// The header of the sample.
pub const HEADER: Header = Header {
    osreldate: 1_500_068,
    abi: Abi::SimLp64,
    features: features::NESTED | features::PIPES | features::TCP4,
    optional_features: 0,
};

/// An instance of this name, nested in `parent`.
pub fn instance(parent: Option<u32>, name: &str) -> Instance {
    Instance {
        parent: parent.map(Ref::new),
        name: text(name),
        state: InstanceState::Running,
        priv_allow: list([11, 504]),
        priv_nosys: list([12]),
        limits: list([InstanceLimit {
            resource: 7,
            soft: None,
            hard: Some(64),
        }]),
        children_max: Some(2),
        pid_max: 99_999,
        last_pid: 7,
        last_tid: 100_004,
        randompid: 0,
        hostname: text("web.example.org"),
        domainname: text(""),
        hostuuid: text("00000000-0000-0000-0000-000000000000"),
        hostid: 0,
        uptime: Duration::from_secs(4242),
        securelevel: -1,
        depth_max: Some(3),
    }
}

/// An established TCP connection of the sample's server, with loss recovery under way.
pub fn tcpcb() -> Tcpcb {
    Tcpcb {
        t_state: TcpState::Established,
        t_flags: TF_REQ_SCALE | TF_RCVD_SCALE | TF_SACK_PERMIT,
        t_flags2: 0x20,
        t_maxseg: 1448,
        t_port: 0,
        t_delayed_ack: 2,
        t_idle_reduce: true,
        t_fin_is_rst: false,
        iss: Seq(0xffff_f000),
        irs: Seq(77),
        snd_una: Seq(0xffff_ff00),
        snd_nxt: Seq(0x0000_1000),
        snd_max: Seq(0x0000_1000),
        snd_up: Seq(0xffff_ff00),
        snd_wl1: Seq(1077),
        snd_wl2: Seq(0xffff_ff00),
        snd_wnd: 65_536,
        max_sndwnd: 65_536,
        snd_cwnd: 14_480,
        snd_ssthresh: 7_240,
        snd_recover: Seq(0x0000_1000),
        snd_limited: 1,
        rcv_nxt: Seq(1077),
        rcv_adv: Seq(1077 + 65_536),
        rcv_wnd: 65_536,
        rcv_up: Seq(1077),
        last_ack_sent: Seq(1077),
        snd_scale: 6,
        rcv_scale: 6,
        request_r_scale: 6,
        ts_recent: 9_000_000,
        ts_recent_age: Some(ms(12)),
        ts_val: 0x8000_0001,
        rfbuf_ts: Some(0x8000_0000),
        rfbuf_cnt: 512,
        t_srtt: 31_250 * 320,
        t_rttvar: 62_500 * 40,
        t_rttmin: ms(30),
        t_rttlow: ms(9),
        t_rttupdated: 5,
        t_rtttime: Some(ms(4)),
        t_rtseq: Seq(0x0000_0800),
        t_rxtcur: ms(230),
        t_rxtshift: 0,
        snd_cwnd_prev: 20_000,
        snd_ssthresh_prev: 9_000,
        snd_recover_prev: Seq(0xffff_f800),
        t_badrxtwin: Some(-5_000_000),
        t_dupacks: 3,
        snd_fack: Seq(0x0000_0900),
        snd_holes: list([
            SackHole {
                start: Seq(0xffff_ff00),
                end: Seq(0x0000_0100),
                rxmit: Seq(0x0000_0010),
            },
            SackHole {
                start: Seq(0x0000_0300),
                end: Seq(0x0000_0500),
                rxmit: Seq(0x0000_0300),
            },
        ]),
        sackhint: SackHint {
            nexthole: Some(1),
            sack_bytes_rexmit: 0x110,
            last_sack_ack: Seq(0x0000_0900),
            delivered_data: 0,
            sacked_bytes: 0x600,
            recover_fs: 0x1100,
            prr_delivered: 0x600,
            prr_out: 0x110,
            hole_bytes: 0x400,
            lost_bytes: 0x400,
        },
        sackblks: list([SackBlk {
            start: Seq(1100),
            end: Seq(1110),
        }]),
        t_segq: list([Tseg {
            tqe_start: Seq(1100),
            tqe_len: 10,
            tqe_flags: 0x18,
        }]),
        t_timers: TcpTimers {
            rexmt: Some(ms(180)),
            persist: None,
            keep: Some(Duration::from_secs(7_199)),
            msl2: None,
            delack: Some(ms(31)),
        },
        t_rcvtime: ms(12),
        t_starttime: Some(Duration::from_secs(3)),
        t_acktime: Some(ms(12)),
        t_sndtime: Some(ms(4)),
        t_keepinit: Duration::ZERO,
        t_keepidle: Duration::from_secs(60),
        t_keepintvl: Duration::ZERO,
        t_keepcnt: 0,
        t_maxunacktime: Duration::ZERO,
        t_oobflags: 0,
        t_iobc: 0,
        t_softerror: 0,
        t_pmtud_saved_maxseg: 0,
        t_blackhole_enter: 2,
        t_blackhole_exit: 0,
        t_bytes_acked: 100,
        t_ccv: CcVar {
            algo: CcAlgo::Cubic,
            bytes_this_ack: 0,
            curack: Seq(0xffff_ff00),
            flags: 2,
            nsegs: 1,
            labc: 0,
            newreno: None,
            cubic: Some(Cubic {
                k: 512,
                w_max: 14_480,
                t_epoch: Some(ms(900)),
                hystart: Hystart {
                    css_baseline_minrtt: u32::MAX,
                    css_current_round_minrtt: u32::MAX,
                    css_lastround_minrtt: u32::MAX,
                    ..Hystart::default()
                },
                ..Cubic::default()
            }),
        },
        t_rcep: 0,
        t_scep: 0,
        t_challenge_ack_end: None,
        t_challenge_ack_cnt: 0,
        tfo: Some(Tfo {
            t_tfo_client_cookie_len: 8,
            t_tfo_cookie: [7; 16],
            t_tfo_pending: false,
        }),
        signature_key: None,
        t_sndzerowin: 0,
        t_sndrexmitpack: 1,
        t_rcvoopack: 1,
        t_sndbytes: 100_000,
        t_snd_rxt_bytes: 0x110,
        t_dsack_bytes: 0,
        t_dsack_pack: 0,
        t_fbyte_in: Some(Duration::from_secs(3)),
        t_fbyte_out: Some(Duration::from_secs(3)),
        tfo_listener: None,
    }
}

/// An internet control block between the sample's server and `faddr`.
pub fn inpcb(faddr: InAddr, fport: u16) -> Inpcb {
    Inpcb {
        inp_inc: InConninfo {
            inc_fibnum: 0,
            laddr: SERVER,
            lport: 7,
            faddr,
            fport,
            zoneid: 0,
            inc_flags: 0,
        },
        inp_flags: 0,
        inp_flags2: 0,
        inp_vflag: INP_IPV4,
        inp_ip_p: 0,
        inp_ip_ttl: 64,
        inp_ip_minttl: 0,
        inp_ip_tos: 0,
        inp_flow: 0,
        inp_options: None,
        in6p_hops: -1,
        in6p_cksum: -1,
        in6p_outputopts: None,
        in6p_icmp6filt: None,
        in6p_tclass: Some(8),
    }
}

/// A buffer that holds so many bytes.
pub fn sockbuf(sb_ccc: u32) -> Sockbuf {
    Sockbuf {
        sb_flags: SB_AUTOSIZE,
        sb_ccc,
        sb_hiwat: 65_536,
        sb_lowat: 1,
        sb_mbmax: 524_288,
        ..Sockbuf::default()
    }
}

/// The sample's connection, or its listener where `listener` is none.
pub fn socket(vnet: u32, cred: u32, listener: Option<u32>) -> Socket {
    let connected = listener.is_some();
    Socket {
        so_vnet: Ref::new(vnet),
        domain: Domain::Inet,
        so_type: SoType::Stream,
        protocol: 6,
        so_options: if connected { 0 } else { SO_ACCEPTCONN },
        so_state: if connected { 2 } else { 0 },
        so_linger: 0,
        so_error: 0,
        so_rerror: 0,
        so_cred: Ref::new(cred),
        so_sigio: None,
        so_fibnum: 0,
        so_user_cookie: 0,
        so_ts_clock: 0,
        so_max_pacing_rate: 0,
        so_oobmark: 0,
        so_listen: listener.map(Ref::new),
        so_qstate: connected.then_some(SoQstate::Comp),
        so_rcv: connected.then(|| sockbuf(5)),
        so_snd: connected.then(|| sockbuf(0x1100)),
        listen: (!connected).then(|| Listen {
            sol_qlimit: 128,
            sbrcv_hiwat: 65_536,
            sbsnd_hiwat: 32_768,
            sbrcv_lowat: 1,
            sbsnd_lowat: 2_048,
            ..Listen::default()
        }),
        inpcb: Some(if connected {
            inpcb(CLIENT, 40_000)
        } else {
            inpcb(InAddr::ANY4, 0)
        }),
        tcpcb: Some(if connected {
            tcpcb()
        } else {
            Tcpcb {
                t_state: TcpState::Listen,
                t_timers: TcpTimers::default(),
                snd_holes: list([]),
                sackblks: list([]),
                t_segq: list([]),
                sackhint: SackHint::default(),
                ..tcpcb()
            }
        }),
        so_fdref: Some(listener.is_none()),
    }
}

/// A process with these numbers. Its other references are to the sample's objects.
pub fn proc(pids: &[i32], refs: &ProcRefs, parent: Option<u32>, state: ProcState) -> Proc {
    let alive = state == ProcState::Normal;
    Proc {
        p_pid: list(pids.iter().copied()),
        p_pptr: parent.map(Ref::new),
        p_reaper: parent.map(Ref::new),
        p_treeflag: 0,
        p_reapsubtree: list(pids.iter().map(|_| 0)),
        p_pgrp: Ref::new(refs.pgrp),
        p_ucred: Ref::new(refs.ucred),
        p_state: state,
        p_flag: 0x4000,
        p_flag2: 0,
        p_comm: bytes(b"echod"),
        p_args: bytes(b"echod\0-v\0"),
        p_abi: Abi::SimLp64,
        p_osrel: 1_500_068,
        p_xexit: 0,
        p_xsig: 0,
        p_sigparent: 20,
        p_pdeathsig: 0,
        p_acflag: 0,
        p_nice: 0,
        p_sigacts: alive.then_some(Ref::new(refs.sigacts)),
        p_sigqueue: Sigqueue::default(),
        p_vmspace: alive.then_some(Ref::new(refs.vmspace)),
        p_fd: alive.then_some(Ref::new(refs.filedesc)),
        p_limit: list([Rlimit {
            rlim_cur: 64,
            rlim_max: 128,
        }]),
        p_ru: Rusage::default(),
        p_cru: Rusage::default(),
        p_start: ms(5_000),
        itimer_real: Some(Itimer {
            it_value: ms(10),
            it_interval: Duration::ZERO,
            seq: Some(1),
        }),
        itimer_virtual: None,
        itimer_prof: None,
        p_textpath: bytes(b"/bin/echod"),
        p_pglist: 0,
    }
}

/// The objects that a process of the sample shares.
#[derive(Clone, Copy, Debug)]
pub struct ProcRefs {
    /// `p_pgrp`.
    pub pgrp: u32,
    /// `p_ucred`.
    pub ucred: u32,
    /// `p_sigacts`.
    pub sigacts: u32,
    /// `p_vmspace`.
    pub vmspace: u32,
    /// `p_fd`.
    pub filedesc: u32,
}

/// A thread blocked in `read(2)` on the sample's connection.
pub fn thread(tid: i32, ucred: u32, socket: u32) -> Thread {
    Thread {
        td_tid: list([tid]),
        td_name: bytes(b"echod"),
        td_frame: Registers {
            abi: Abi::SimLp64,
            frame: bytes(&[1, 2, 3, 4]),
        },
        td_ucred: Ref::new(ucred),
        td_sigmask: [0; 16],
        td_oldsigmask: Some([1; 16]),
        td_sigqueue: Sigqueue {
            sq_signals: [0; 16],
            sq_kill: [0; 16],
            sq_list: list([Ksiginfo {
                si_signo: 15,
                si_errno: 0,
                si_code: 0x10001,
                si_pid: 1,
                si_uid: 0,
                si_status: 0,
                si_addr: 0,
                si_value: 0,
                reason0: 0,
                reason1: 0,
                ksi_flags: 0,
            }]),
        },
        ss_sp: 0,
        ss_size: 0,
        ss_flags: 4,
        td_flags: 0,
        suspended: false,
        blocked: Some(Blocked {
            code: 3,
            args: list([4, 0x1000, 512]),
            wchan: Wchan::SockRcv,
            object: Some(Ref::new(socket)),
            arg: 0,
            remaining: Some(ms(700)),
            wmesg: bytes(b"sbwait"),
            pcatch: true,
            progress: 0,
            state: list([]),
            woken: None,
            selected: Some(list([Selected {
                wchan: Wchan::SockRcv,
                object: Ref::new(socket),
                arg: 0,
            }])),
            sleepq_seq: Some(0),
        }),
        td_base_user_pri: 120,
        td_pri_class: 3,
        td_runtime: ms(3),
        slice: None,
        runq_seq: None,
        td_oncpu: None,
        busy: Some(ms(1)),
    }
}

/// An embryonic connection of the sample.
pub fn syncache(vnet: u32, ucred: u32) -> Syncache {
    Syncache {
        vnet: Ref::new(vnet),
        sc_inc: inpcb(CLIENT, 40_001).inp_inc,
        sc_rxttime: ms(900),
        sc_rxmits: 0,
        sc_port: 0,
        sc_tsreflect: 5,
        ts_val: 6,
        sc_flowlabel: 0,
        sc_irs: Seq(1),
        sc_iss: Seq(2),
        sc_ipopts: None,
        sc_peer_mss: 1460,
        sc_wnd: 65_535,
        sc_ip_ttl: 64,
        sc_ip_tos: 0,
        sc_requested_s_scale: 6,
        sc_requested_r_scale: 6,
        sc_flags: 0x86,
        sc_challenge_ack_cnt: 0,
        sc_challenge_ack_end: None,
        sc_cred: Ref::new(ucred),
        sc_tfo_cookie: Some([5; 8]),
    }
}

pub(super) fn rng_state() -> RngState {
    RngState {
        key: [6; 32],
        nonce: 1,
        words: 40,
    }
}
