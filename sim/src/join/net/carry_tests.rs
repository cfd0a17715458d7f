// SPDX-License-Identifier: BSD-2-Clause
//! Every field of what a connection is goes through its record and comes back.
//!
//! The blocks below are written out without `..`: who adds a field must give it a value here, and the
//! test fails until capture and restore carry it.

use vpscore::image::{Ref, SocketRef};

use super::so::{
    inpcb_record, listen_record, restore_inpcb, restore_listen, restore_sockbuf, sockbuf_record,
};
use super::tcp_vnet::{restore_syncache, restore_tcp_vnet, syncache_record, tcp_vnet_record};
use super::tcpcb::{restore_tcpcb, tcpcb_record};
use crate::errno::Errno;
use crate::net::cx::SoId;
use crate::net::inpcb::{
    IN6P_IPV6_V6ONLY, INP_ANONPORT, INP_IPV6, INP_IPV6PROTO, InConninfo, Inpcb,
};
use crate::net::sockbuf::{Bytes, Record, SB_AUTOSIZE, SBS_RCVATMARK, Sockbuf};
use crate::net::socket::{BufSettings, Listen, Proto};
use crate::net::tcp::flags::{TF_ACKNOW, TF_FASTOPEN, TF_LRD, TF_SACK_PERMIT, TF2_ECN_PERMIT};
use crate::net::tcp::{
    Algorithm, Bucket, CcVar, ChallengeAck, ClientEntry, Cookies, Cubic, Fastopen, Hostcache, Isn,
    Keys, Metrics, Pause, SackBlk, SackHint, SackHole, Sc, Segq, SegqEntry, Seq, State, Sysctl,
    Tcp, Tcpcb, ticks,
};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// The moment of the capture: tick 100,001.
pub(super) const NOW: Instant = Instant::from_nanos(100_000_000_000);
/// The listener that a connection is counted at.
const LISTENER: SoId = SoId(7);

fn after(ms: u64) -> Option<Instant> {
    Some(NOW.after(Duration::from_millis(ms)))
}

pub(super) fn cubic() -> Cubic {
    Cubic {
        k: 1080,
        sum_rtt_usecs: 123_456,
        w_max: 144_800,
        cwnd_epoch: 101_360,
        flags: 0x0b,
        min_rtt_usecs: 9_000,
        mean_rtt_usecs: 11_000,
        epoch_ack_count: 17,
        t_epoch: 99_001,
        undo_t_epoch: 98_002,
        undo_k: 900,
        undo_w_max: 100_000,
        undo_cwnd_epoch: 70_000,
    }
}

pub(super) fn hint() -> SackHint {
    SackHint {
        nexthole: Some(1),
        sack_bytes_rexmit: 16,
        last_sack_ack: Seq(9_900),
        delivered_data: 1_448,
        sacked_bytes: 3_000,
        recover_fs: 8_000,
        prr_delivered: 2_896,
        prr_out: 1_448,
        lost_bytes: 724,
    }
}

fn tcpcb() -> Tcpcb {
    let mut sackblks = [SackBlk::default(); 6];
    sackblks[0] = SackBlk {
        start: Seq(20_100),
        end: Seq(20_103),
    };
    Tcpcb {
        t_state: State::FinWait2,
        t_flags: TF_ACKNOW | TF_SACK_PERMIT | TF_LRD | TF_FASTOPEN,
        t_flags2: TF2_ECN_PERMIT,
        t_maxseg: 1_448,
        t_port: 9_899,
        t_timers: [after(40), after(230), None, after(7_000), after(60_000)],
        snd_una: Seq(5_000),
        snd_max: Seq(9_990),
        snd_nxt: Seq(9_980),
        snd_up: Seq(5_001),
        snd_wl1: Seq(20_002),
        snd_wl2: Seq(5_002),
        snd_wnd: 65_536,
        max_sndwnd: 65_537,
        iss: Seq(4_000),
        snd_scale: 6,
        irs: Seq(19_000),
        rcv_nxt: Seq(20_000),
        rcv_adv: Seq(85_536),
        rcv_up: Seq(20_003),
        rcv_wnd: 65_538,
        last_ack_sent: Seq(19_990),
        rcv_scale: 7,
        request_r_scale: 8,
        rfbuf_ts: 77,
        rfbuf_cnt: 78,
        ts_recent: 79,
        ts_recent_age: 99_990,
        ts_offset: 0x8000_0000,
        snd_cwnd: 14_480,
        snd_ssthresh: 7_240,
        snd_recover: Seq(9_970),
        snd_limited: 2,
        t_dupacks: 3,
        t_bytes_acked: 1_000,
        snd_cwnd_prev: 20_000,
        snd_ssthresh_prev: 9_000,
        snd_recover_prev: Seq(4_900),
        t_badrxtwin: 100_050,
        t_ccv: CcVar {
            algo: Algorithm::Cubic,
            flags: 5,
            bytes_this_ack: 2_896,
            curack: Seq(4_999),
            cubic: cubic(),
        },
        t_rcvtime: 99_980,
        t_starttime: 97_000,
        t_rtttime: 99_970,
        t_rtseq: Seq(9_000),
        t_rttupdated: 9,
        t_rxtcur: 230,
        t_srtt: 333,
        t_rttvar: 55,
        t_rttmin: 31,
        t_rttlow: 10,
        t_rxtshift: 1,
        t_acktime: 99_960,
        t_sndtime: 99_950,
        t_softerror: Some(Errno::EHOSTUNREACH),
        sackblks,
        rcv_numsacks: 1,
        snd_holes: vec![
            SackHole {
                start: Seq(5_000),
                end: Seq(6_000),
                rxmit: Seq(5_010),
            },
            SackHole {
                start: Seq(7_000),
                end: Seq(8_000),
                rxmit: Seq(7_000),
            },
        ],
        snd_fack: Seq(9_900),
        sackhint: hint(),
        t_segq: Segq {
            entries: vec![SegqEntry {
                start: Seq(20_100),
                text: b"abc".to_vec(),
                fin: true,
                oob: vec![Seq(20_101)],
            }],
        },
        t_oobflags: 1,
        t_iobc: b'!',
        t_keepinit: 1_001,
        t_keepidle: 1_002,
        t_keepintvl: 1_003,
        t_keepcnt: 5,
        t_maxunacktime: 1_004,
        t_blackhole_enter: 2,
        t_blackhole_exit: 3,
        t_pmtud_saved_maxseg: 1_460,
        t_challenge_ack: ChallengeAck {
            end: NOW.after(Duration::from_millis(900)),
            cnt: 4,
        },
        t_scep: 11,
        t_rcep: 12,
        t_fbyte_in: 97_001,
        t_fbyte_out: 97_002,
        t_tfo_client_cookie: b"eight by".to_vec(),
        t_tfo_server_cookie: 0,
        t_tfo_pending: Some(LISTENER),
        t_tfo_pending_count: None,
        t_sndbytes: 1 << 40,
        t_sndrexmitpack: 13,
        t_rcvoopack: 14,
        t_sndzerowin: 15,
    }
}

pub(super) fn through(tp: &Tcpcb) -> Tcpcb {
    let sysctl = Sysctl::default();
    let reference: SocketRef = Ref::new(3);
    let (record, bytes) =
        tcpcb_record(tp, NOW, &sysctl, |so| (so == LISTENER).then_some(reference))
            .expect("a block without anything unmovable");
    let listener = record.tfo_listener.map(|_| LISTENER);
    restore_tcpcb(&record, &bytes, listener, (&sysctl, false, NOW)).expect("its own record")
}

/// Blocks with something in every field; what one cannot have beside the rest, another has.
pub(super) fn tcpcbs() -> Vec<Tcpcb> {
    let other = Tcpcb {
        t_state: State::Established,
        t_timers: [None, None, after(5_000), None, None],
        t_tfo_client_cookie: Vec::new(),
        t_tfo_server_cookie: 0x0102_0304_0506_0708,
        ..tcpcb()
    };
    let listener = Tcpcb {
        t_state: State::Listen,
        t_tfo_pending: None,
        t_tfo_pending_count: Some(0),
        t_segq: Segq::default(),
        ..tcpcb()
    };
    vec![tcpcb(), other, listener]
}

#[test]
fn every_field_of_a_tcpcb_comes_back() {
    for tp in tcpcbs() {
        assert_eq!(through(&tp), tp);
    }
}

/// A block with something in every field.
pub(super) fn inpcb() -> Inpcb {
    let v6 = |last: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into();
    Inpcb {
        inc: InConninfo {
            faddr: v6(2),
            laddr: v6(1),
            fport: 80,
            lport: 40_000,
        },
        inp_vflag: INP_IPV6 | INP_IPV6PROTO,
        inp_flags: INP_ANONPORT | IN6P_IPV6_V6ONLY,
        inp_ip_tos: 0x28,
        inp_ip_ttl: 33,
        inp_ip_minttl: 254,
        in6p_tclass: 0x2c,
        in6p_hops: Some(34),
        inp_flow: 0xa_bcde,
        minmtu: true,
        ip6po_minmtu: 1,
        in6p_cksum: 6,
        icmp6filt: Some([0x5a; 32]),
    }
}

#[test]
fn every_field_of_an_inpcb_comes_back() {
    let record = inpcb_record(&inpcb(), Proto::Tcp).expect("memory");
    assert_eq!(restore_inpcb(&record, true), Ok(inpcb()));
}

#[test]
fn every_field_of_a_buffer_comes_back() {
    let sysctl = Sysctl::default();
    let mut bytes = Bytes::default();
    bytes.extend(b"stream");
    let stream = Sockbuf {
        sb_state: SBS_RCVATMARK,
        sb_flags: SB_AUTOSIZE,
        sb_hiwat: 65_536,
        sb_lowat: 3,
        sb_timeo: Duration::from_millis(5),
        bytes,
        records: Default::default(),
        record_bytes: 0,
    };
    let (record, bytes) = sockbuf_record(&stream, &sysctl).expect("memory");
    assert_eq!(restore_sockbuf(&record, &bytes, false, &sysctl), Ok(stream));
    let datagram = Record {
        from: "[2001:db8::2%4]:53".parse().expect("an address"),
        data: b"datagram".to_vec(),
        control: vec![(0xffff, 2, vec![1, 2, 3]), (41, 46, vec![4; 8])],
    };
    let datagrams = Sockbuf {
        records: [datagram.clone(), datagram].into(),
        record_bytes: 16,
        bytes: Bytes::default(),
        sb_hiwat: 42_080,
        ..Sockbuf::default()
    };
    let (record, bytes) = sockbuf_record(&datagrams, &sysctl).expect("memory");
    assert_eq!(
        restore_sockbuf(&record, &bytes, true, &sysctl),
        Ok(datagrams)
    );
}

#[test]
fn every_field_of_a_listener_comes_back_but_its_queue_which_others_name() {
    let settings = |n: u32| BufSettings {
        hiwat: 60_000 + n,
        lowat: n,
        timeo: Duration::from_millis(n.into()),
        flags: SB_AUTOSIZE,
    };
    let sol = Listen {
        sol_qlimit: 17,
        sol_comp: Default::default(),
        sol_sbrcv: settings(1),
        sol_sbsnd: settings(2),
    };
    assert_eq!(restore_listen(&listen_record(&sol)), Ok(sol));
}

pub(super) fn embryo(inc: InConninfo) -> Sc {
    Sc {
        sc_inc: inc,
        sc_rxttime: after(900),
        sc_rxmits: 2,
        sc_port: 9_899,
        sc_tsreflect: 5,
        sc_tsoff: 6,
        sc_flowlabel: 7,
        sc_irs: Seq(8),
        sc_iss: Seq(9),
        sc_peer_mss: 1_460,
        sc_wnd: 65_535,
        sc_ip_ttl: 33,
        sc_ip_tos: 0x28,
        sc_requested_s_scale: 3,
        sc_requested_r_scale: 6,
        sc_flags: 0x86,
        sc_tfo_cookie: Some(10),
        sc_challenge_ack: ChallengeAck {
            end: NOW.after(Duration::from_millis(800)),
            cnt: 3,
        },
        minmtu: true,
        age: 0,
    }
}

/// TCP of a vnet with something in every field; statistics do not move.
pub(super) fn tcp() -> Tcp {
    let ip = |last| std::net::IpAddr::from([10, 0, 0, last]);
    let mut tcp = Tcp::new(&mut Rng::new(1, "source"));
    let Tcp {
        // In the record of the vnet, but for the counters, which begin anew.
        sysctl: _,
        stat: _,
        // Made by the sockets as they are entered.
        tcbinfo: _,
        timerq: _,
        tfo_released: _,
        syncache,
        hostcache,
        isn,
        ts_offset_secret,
        fastopen,
        md5_keys,
    } = &mut tcp;
    syncache.hash_secret = [11, 12];
    syncache.cookies = Cookies {
        key: [[1, 2], [3, 4]],
        oddeven: 1,
        reseed: NOW.after(Duration::from_secs(3)),
    };
    let row = Bucket {
        list: Vec::new(),
        last_overflow: Some(Instant::from_nanos(99_000_000_000)),
    };
    syncache.buckets.insert(5, row);
    syncache.pause = Pause {
        paused: true,
        until: after(7_000),
        backoff: 2,
    };
    let metrics = Metrics {
        rmx_mtu: 1_400,
        rmx_ssthresh: 9_000,
        rmx_rtt: 333,
        rmx_rttvar: 44,
        rmx_cwnd: 20_000,
    };
    let expires = NOW.after(Duration::from_secs(60));
    *hostcache = Hostcache {
        entries: [(ip(2), (metrics, expires))].into(),
    };
    *isn = Isn {
        secret: [21, 22],
        last: 99_000,
        last_reseed: 98_000,
        offset: 23,
        offset_old: 24,
    };
    *ts_offset_secret = [31, 32];
    let since = Instant::from_nanos(99_500_000_000);
    let client = ClientEntry {
        serial: 1,
        cookie: b"eight by".to_vec(),
        server_mss: 1_460,
        disable_time: Some(since),
    };
    *fastopen = Fastopen {
        keys: vec![[51, 52]],
        psks: vec![[53, 54]],
        autokey_at: after(9_000),
        clients: [((ip(1), ip(2), 80), client)].into(),
        serial: 1,
    };
    *md5_keys = Keys {
        by_pair: [((ip(1), ip(2)), b"key".to_vec())].into(),
    };
    tcp
}

#[test]
fn what_was_longer_ago_than_an_image_can_say_does_not_keep_a_vnet_from_moving() {
    let century = NOW.after(Duration::from_secs(100 * 365 * 86_400));
    let mut source = tcp();
    source.syncache.pause.paused = false;
    source.syncache.pause.until = Some(NOW);
    let rng = Rng::new(3, "transports");
    let record = tcp_vnet_record(&source, &rng, Ref::new(2), century).expect("memory");
    vpscore::cbor::Encode::valid(&record).expect("every age is within its bound");
}

#[test]
fn everything_that_tcp_keeps_in_a_vnet_comes_back() {
    let ip = |last| std::net::IpAddr::from([10, 0, 0, last]);
    let inc = InConninfo {
        faddr: ip(2),
        laddr: ip(1),
        fport: 4_000,
        lport: 80,
    };
    let mut source = tcp();
    source.syncache_restore(embryo(inc), NOW);
    let mut rng = Rng::new(3, "transports");
    let _drawn = rng.next_u64();
    let record = tcp_vnet_record(&source, &rng, Ref::new(2), NOW).expect("memory");
    let mut other = Rng::new(4, "elsewhere");
    let mut target = Tcp::new(&mut other);
    restore_tcp_vnet(&record, &mut target, &mut other, NOW).expect("its own record");
    for sc in source.syncache.entries.values() {
        let record = syncache_record(sc, Ref::new(2), Ref::new(1), NOW);
        restore_syncache(&record, &mut target, NOW);
    }
    assert_eq!(ticks(NOW), 100_001);
    assert_eq!(target, source);
    assert_eq!(other, rng);
}

#[test]
fn a_pause_of_the_syn_cache_that_is_over_comes_back_as_old_as_it_was() {
    let mut source = tcp();
    source.syncache.pause = Pause {
        paused: false,
        until: Some(Instant::from_nanos(90_000_000_000)),
        backoff: 1,
    };
    let mut rng = Rng::new(3, "transports");
    let record = tcp_vnet_record(&source, &rng, Ref::new(2), NOW).expect("memory");
    let mut target = Tcp::new(&mut rng);
    restore_tcp_vnet(&record, &mut target, &mut rng, NOW).expect("its own record");
    assert_eq!(target.syncache.pause, source.syncache.pause);
}
