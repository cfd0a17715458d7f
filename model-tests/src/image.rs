// SPDX-License-Identifier: BSD-2-Clause
//! A sample image that holds every kind of record, and the image's reading and writing as values.

use sim::join::digest::image_writer;
use vpscore::cbor::{Bytes, Text};
use vpscore::collections::List;
use vpscore::image::schema::{
    Abi, Blocked, File, FileType, Filedesc, Filedescent, IfType, Ifaddr, Ifnet, InFlight, Info,
    Inherit, Instance, InstanceLimit, InstanceState, Ipq, IpqPiece, Itimer, Ksiginfo, LlState,
    Llentry, LoopbackPacket, ObjType, Pgrp, Pipe, PipeBuf, Proc, ProcState, RateCount, Registers,
    Rlimit, RngState, Route, Rusage, Selected, Session, Sigaction, Sigacts, Sigqueue, SysctlVar,
    Thread, Ucred, VmMapEntry, VmObject, Vmspace, Vnet, Wchan,
};
use vpscore::image::{
    Error, Event, Header, Object, PAGE_SIZE, Reader, Ref, Sink, Trailer, WriteError, Writer,
    features,
};
use vpscore::sha256::Digest;
use vpscore::sock::{
    CcAlgo, CcVar, Cubic, Domain, HcMetrics, Hystart, INP_IPV4, InAddr, InConninfo, Inpcb, KnownAs,
    Listen, SB_AUTOSIZE, SO_ACCEPTCONN, SackBlk, SackHint, SackHole, SchOverflow, Seq, SoQstate,
    SoType, Sockbuf, Socket, Syncache, TF_RCVD_SCALE, TF_REQ_SCALE, TF_SACK_PERMIT, TcpMd5Key,
    TcpState, TcpTimers, TcpVnet, Tcpcb, Tfo, TfoCookie, Tseg,
};
use vpscore::time::Duration;

/// What an image holds, with each event as a value of its own.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The header.
    Header(Header),
    /// A record with its number.
    Object(u32, Box<Object>),
    /// A page of an object.
    Page(u32, u64, Box<[u8; PAGE_SIZE]>),
    /// So many pages of zeros of an object.
    Zeros(u32, u64, u32),
    /// Bytes of a stream of an object.
    Data(u32, u32, Vec<u8>),
    /// A kind skipped.
    Skipped(u16),
    /// The trailer.
    End(Trailer),
}

impl From<Event<'_>> for Item {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Header(header) => Self::Header(header),
            Event::Object { id, object } => Self::Object(id, Box::new(object)),
            Event::Page {
                object,
                pindex,
                bytes,
            } => Self::Page(object, pindex, Box::new(*bytes)),
            Event::Zeros {
                object,
                pindex,
                count,
            } => Self::Zeros(object, pindex, count),
            Event::Data {
                object,
                stream,
                bytes,
            } => Self::Data(object, stream, bytes.to_vec()),
            Event::Skipped { kind } => Self::Skipped(kind),
            Event::End(trailer) => Self::End(trailer),
        }
    }
}

/// Reads a whole image, given to the reader in pieces of `piece` bytes.
///
/// # Errors
/// The reader's.
pub fn read(image: &[u8], piece: usize) -> Result<Vec<Item>, Error> {
    let mut reader = Reader::new();
    let mut items = Vec::new();
    for chunk in image.chunks(piece.max(1)) {
        let mut input = chunk;
        while let Some(event) = reader.feed(&mut input)? {
            items.push(Item::from(event));
        }
    }
    reader.finish()?;
    Ok(items)
}

/// Writes what was read as an image again. Items that were skipped are lost.
///
/// # Errors
/// The writer's.
///
/// # Panics
/// Where the items do not begin with a header.
pub fn write(items: &[Item]) -> Result<Vec<u8>, WriteError<vpscore::collections::NoMemory>> {
    let Some(Item::Header(header)) = items.first() else {
        panic!("an image begins with its header");
    };
    let mut writer = image_writer(header)?;
    for item in &items[1..] {
        match item {
            Item::Header(_) | Item::Skipped(_) | Item::End(_) => {}
            Item::Object(_, object) => {
                put(&mut writer, object)?;
            }
            Item::Page(_, pindex, bytes) => writer.page(*pindex, bytes)?,
            Item::Zeros(_, pindex, count) => {
                for n in 0..u64::from(*count) {
                    writer.page(pindex + n, &[0; PAGE_SIZE])?;
                }
            }
            Item::Data(_, stream, bytes) => writer.stream(*stream, bytes)?,
        }
    }
    writer.finish().map(|list| list.as_slice().to_vec())
}

/// Writes one object, whatever it is.
///
/// # Errors
/// The writer's.
pub fn put<S: Sink, D: Digest>(
    writer: &mut Writer<S, D>,
    object: &Object,
) -> Result<u32, WriteError<S::Error>> {
    match object {
        Object::Info(r) => writer.object(r),
        Object::Instance(r) => writer.object(r),
        Object::Vnet(r) => writer.object(r),
        Object::Ifnet(r) => writer.object(r),
        Object::Route(r) => writer.object(r),
        Object::Llentry(r) => writer.object(r),
        Object::TcpVnet(r) => writer.object(r),
        Object::Ucred(r) => writer.object(r),
        Object::VmObject(r) => writer.object(r),
        Object::Vmspace(r) => writer.object(r),
        Object::VmMapEntry(r) => writer.object(r),
        Object::Pipe(r) => writer.object(r),
        Object::Socket(r) => writer.object(r),
        Object::Syncache(r) => writer.object(r),
        Object::File(r) => writer.object(r),
        Object::Filedesc(r) => writer.object(r),
        Object::InFlight(r) => writer.object(r),
        Object::Sigacts(r) => writer.object(r),
        Object::Session(r) => writer.object(r),
        Object::Pgrp(r) => writer.object(r),
        Object::Proc(r) => writer.object(r),
        Object::Thread(r) => writer.object(r),
    }
}

/// A list of these items.
///
/// # Panics
/// Where memory is short.
pub fn list<T>(items: impl IntoIterator<Item = T>) -> List<T> {
    let mut list = List::new();
    for item in items {
        list.push(item).expect("memory");
    }
    list
}

fn text(s: &str) -> Text {
    Text::copy(s).expect("memory")
}

fn bytes(b: &[u8]) -> Bytes {
    Bytes::copy(b).expect("memory")
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const SERVER: InAddr = InAddr::V4([10, 0, 0, 2]);
const CLIENT: InAddr = InAddr::V4([10, 0, 0, 9]);

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

type Failure = WriteError<vpscore::collections::NoMemory>;

/// An image with every kind of record in it, written by hand, one object after the other.
///
/// # Errors
/// The writer's, where the sample is no longer an image.
pub fn sample() -> Result<Vec<u8>, Failure> {
    let mut w = Writer::new(List::new(), &HEADER)?;
    w.object(&Info {
        osrelease: text("15.0-RELEASE"),
        machine_arch: text("amd64"),
        writer: text("model-tests"),
    })?;
    let root = w.object(&instance(None, "web"))?;
    let nested = w.object(&instance(Some(root), "db"))?;
    let vnet = sample_net(&mut w, root)?;
    let ucred = w.object(&Ucred {
        cr_prison: Ref::new(root),
        cr_uid: 0,
        cr_ruid: 0,
        cr_svuid: 0,
        cr_gid: 0,
        cr_rgid: 0,
        cr_svgid: 0,
        cr_groups: list([5]),
        cr_flags: 0,
        cr_loginclass: text("daemon"),
    })?;
    let vmspace = sample_memory(&mut w)?;
    let pipe = sample_pipe(&mut w, ucred)?;
    let listener = w.object(&socket(vnet, ucred, None))?;
    let connection = w.object(&socket(vnet, ucred, Some(listener)))?;
    w.stream(0, b"hello")?;
    w.stream(1, &[0x55; 0x1100])?;
    w.stream(2, &[0x66; 10])?;
    w.object(&syncache(vnet, ucred))?;
    let filedesc = sample_files(&mut w, ucred, pipe, listener, connection)?;
    let sigacts = w.object(&Sigacts {
        actions: list([Sigaction {
            signo: 15,
            handler: 0x4000,
            mask: [0; 16],
            flags: 2,
        }]),
        ps_flag: 0,
    })?;
    let session = w.object(&Session {
        instance: Ref::new(nested),
        s_sid: list([1]),
        s_login: bytes(b"root"),
    })?;
    let pgrp = w.object(&Pgrp {
        pg_session: Ref::new(session),
        pg_id: list([1]),
        pg_flags: 0,
        instance: Ref::new(nested),
    })?;
    let refs = ProcRefs {
        pgrp,
        ucred,
        sigacts,
        vmspace,
        filedesc,
    };
    let init = w.object(&proc(&[1], &refs, None, ProcState::Normal))?;
    w.object(&thread(100_001, ucred, connection))?;
    w.object(&proc(&[2], &refs, Some(init), ProcState::Zombie))?;
    w.finish().map(|list| list.as_slice().to_vec())
}

fn sample_net(w: &mut Writer<List<u8>>, root: u32) -> Result<u32, Failure> {
    let vnet = w.object(&Vnet {
        instance: Ref::new(root),
        sysctls: list([SysctlVar {
            name: text("net.inet.tcp.keepidle"),
            value: 7_200_000,
        }]),
        ip_id: 77,
        lastport: 49_152,
        clock: Some(Duration::from_secs(77)),
        frag6_id: Some(9),
        next_ifindex: Some(3),
        loopback: Some(list([LoopbackPacket {
            remaining: Duration::from_nanos(500),
            packet: bytes(&[0x45; 20]),
        }])),
        rates: Some(list([RateCount {
            class: 1,
            age: ms(100),
            count: 7,
            jitter: -3,
        }])),
        rates6: Some(list([RateCount {
            class: 5,
            age: ms(200),
            count: 8,
            jitter: 4,
        }])),
        rng: Some(rng_state()),
        fragments: Some(list([Ipq {
            src: CLIENT,
            dst: SERVER,
            proto: 17,
            id: 5,
            remaining: ms(20_000),
            ecn: 0,
            total: Some(3_000),
            header: None,
            next: 0,
            quote: None,
            pieces: list([IpqPiece {
                offset: 1_480,
                data: bytes(&[1; 8]),
            }]),
        }])),
    })?;
    let ifnet = w.object(&Ifnet {
        if_vnet: Ref::new(vnet),
        if_xname: text("epair0b"),
        if_index: 2,
        if_type: IfType::Ether,
        if_flags: 0x8843,
        if_mtu: 1500,
        lladdr: Some([2, 0, 0, 0, 0, 2]),
        if_addrs: list([Ifaddr {
            ia_addr: SERVER,
            prefixlen: 24,
            ia_broadaddr: Some(InAddr::V4([10, 0, 0, 255])),
            ia_flags: 0,
            vltime: None,
            pltime: None,
        }]),
        if_description: None,
    })?;
    w.object(&Route {
        vnet: Ref::new(vnet),
        fibnum: 0,
        dst: InAddr::ANY4,
        prefixlen: 0,
        gateway: Some(InAddr::V4([10, 0, 0, 1])),
        ifp: Ref::new(ifnet),
        flags: 0x803,
        mtu: 0,
    })?;
    w.object(&Llentry {
        ifp: Ref::new(ifnet),
        addr: CLIENT,
        lladdr: Some([2, 0, 0, 0, 0, 9]),
        state: LlState::Reachable,
        la_asked: 0,
        remaining: Some(Duration::from_secs(1_100)),
        la_hold: list([]),
        r_skip_req: Some(true),
    })?;
    w.object(&TcpVnet {
        vnet: Ref::new(vnet),
        isn_secret: bytes(&[9; 32]),
        isn_offset: 12_345,
        ts_offset_secret: bytes(&[8; 32]),
        syncookie_keys: list([[1; 16], [2; 16]]),
        syncookie_oddeven: 1,
        syncookie_reseed: Some(Duration::from_secs(9)),
        syncache_pause: None,
        syncache_pause_backoff: 0,
        fastopen_keys: list([[3; 16]]),
        fastopen_psks: list([]),
        fastopen_ccache: list([TfoCookie {
            client: SERVER,
            server: CLIENT,
            server_port: 80,
            server_mss: 1460,
            cookie: bytes(&[4; 8]),
            disabled: None,
        }]),
        hostcache: list([HcMetrics {
            addr: CLIENT,
            zoneid: 0,
            hc_mtu: 1500,
            hc_ssthresh: 7_240,
            hc_rtt: 700,
            hc_rttvar: 90,
            hc_cwnd: 14_480,
            hc_sendpipe: 0,
            hc_recvpipe: 0,
            hc_expire: Duration::from_secs(3_000),
        }]),
        isn_offset_old: Some(12_000),
        isn_last: Some(ms(30)),
        isn_last_reseed: Some(ms(9_000)),
        syncache_hash_secret: Some(bytes(&[7; 16])),
        syncache_overflows: Some(list([SchOverflow {
            bucket: 3,
            age: ms(800),
        }])),
        md5_keys: Some(list([TcpMd5Key {
            src: SERVER,
            dst: CLIENT,
            key: bytes(b"secret"),
        }])),
        fastopen_autokey: Some(ms(60_000)),
        rng: Some(rng_state()),
        syncookie_overdue: None,
        syncache_pause_over: None,
        known_as: Some(list([KnownAs {
            addr: SERVER,
            known_as: InAddr::V4([192, 0, 2, 2]),
        }])),
    })?;
    Ok(vnet)
}

fn rng_state() -> RngState {
    RngState {
        key: [6; 32],
        nonce: 1,
        words: 40,
    }
}

fn sample_memory(w: &mut Writer<List<u8>>) -> Result<u32, Failure> {
    let object = |backing: Option<u32>| VmObject {
        ty: ObjType::Anon,
        size: 16,
        backing_object: backing.map(Ref::new),
        backing_object_offset: 0,
        flags: 0,
        charge: 65_536,
    };
    let backing = w.object(&object(None))?;
    w.page(0, &[1; PAGE_SIZE])?;
    w.page(1, &[2; PAGE_SIZE])?;
    w.page(2, &[0; PAGE_SIZE])?;
    w.page(3, &[0; PAGE_SIZE])?;
    w.page(9, &[1; PAGE_SIZE])?;
    let shadow = w.object(&object(Some(backing)))?;
    w.page(1, &[0; PAGE_SIZE])?;
    w.page(2, &[2; PAGE_SIZE])?;
    let vmspace = w.object(&Vmspace {
        vm_map_min: 0x1000,
        vm_map_max: 0x8000_0000_0000,
        vm_tsize: 4,
        vm_dsize: 8,
        vm_ssize: 4,
        vm_taddr: 0x1000,
        vm_daddr: 0x10_0000,
        vm_maxsaddr: 0x7000_0000_0000,
        vm_stacktop: 0x7fff_ffff_f000,
        vm_map_flags: 0,
        vm_shp_base: 0,
    })?;
    let entry = |start: u64, object: u32, offset: u64| VmMapEntry {
        start,
        end: start + 0x4000,
        object: Some(Ref::new(object)),
        offset,
        protection: 3,
        max_protection: 7,
        inheritance: Inherit::Copy,
        eflags: 0,
        user_wired: false,
    };
    w.object(&entry(0x1000, shadow, 0))?;
    w.object(&entry(0x5000, backing, 0x8000))?;
    Ok(vmspace)
}

fn sample_pipe(w: &mut Writer<List<u8>>, ucred: u32) -> Result<u32, Failure> {
    let end = |cnt: u32| PipeBuf {
        cnt,
        size: 16_384,
        ..PipeBuf::default()
    };
    let pipe = w.object(&Pipe {
        pp_rpipe: end(3),
        pp_wpipe: end(0),
        pipe_ino: 5,
        pp_owner: Ref::new(ucred),
    })?;
    w.stream(0, b"abc")?;
    Ok(pipe)
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

fn sample_files(
    w: &mut Writer<List<u8>>,
    ucred: u32,
    pipe: u32,
    listener: u32,
    connection: u32,
) -> Result<u32, Failure> {
    let file = |f_type: FileType, socket: Option<u32>, pipe: Option<u32>| File {
        f_type,
        f_flag: 3,
        f_offset: 0,
        f_cred: Ref::new(ucred),
        socket: socket.map(Ref::new),
        pipe: pipe.map(Ref::new),
        pipe_end: pipe.is_some(),
        dev: (f_type == FileType::Dev).then(|| bytes(b"null")),
    };
    let null = w.object(&file(FileType::Dev, None, None))?;
    let pipe = w.object(&file(FileType::Pipe, None, Some(pipe)))?;
    let listening = w.object(&file(FileType::Socket, Some(listener), None))?;
    let slot = |fd: u32, file: u32| Filedescent {
        fd,
        fde_file: Ref::new(file),
        fde_flags: 0,
        fde_rights: None,
    };
    let filedesc = w.object(&Filedesc {
        fd_ofiles: list([
            slot(0, null),
            slot(1, null),
            slot(3, listening),
            slot(4, pipe),
        ]),
        pd_cmask: 0o22,
        pwd_cdir: bytes(b"/"),
        pwd_rdir: bytes(b"/"),
    })?;
    w.object(&InFlight {
        so: Ref::new(connection),
        record: 0,
        files: list([Ref::new(null)]),
    })?;
    Ok(filedesc)
}

/// An image in words: one line per frame, with its offset, and the record beneath it.
///
/// # Errors
/// The reader's.
pub fn diagnostic(image: &[u8]) -> Result<String, Error> {
    use std::fmt::Write;
    let mut out = String::new();
    for item in read(image, usize::MAX)? {
        let line = match item {
            Item::Header(header) => format!("header {header:?}"),
            Item::Object(id, object) => format!("object {id}: {object:#?}"),
            Item::Page(id, pindex, bytes) => {
                format!("page {pindex} of {id}: {:#04x}...", bytes[0])
            }
            Item::Zeros(id, pindex, count) => format!("zeros {pindex}+{count} of {id}"),
            Item::Data(id, stream, bytes) => {
                format!("stream {stream} of {id}: {} bytes", bytes.len())
            }
            Item::Skipped(kind) => format!("skipped {kind:#06x}"),
            Item::End(t) => format!(
                "end: {} objects, {} frames, {} pages, {} bytes",
                t.objects, t.frames, t.pages, t.bytes
            ),
        };
        writeln!(out, "{line}").expect("string");
    }
    Ok(out)
}
