// SPDX-License-Identifier: BSD-2-Clause
//! Socket state: what is written is read, and what no kernel could be in is refused by field.

use model_tests::image::{list, socket, tcpcb};
use vpscore::cbor::{Decode, Encode, Fault, decode_all, encode_to_list};
use vpscore::image::Ref;
use vpscore::sock::{
    CcAlgo, Domain, InAddr, SBS_CANTSENDMORE, SO_ACCEPTCONN, SackBlk, SackHole, SbRecord, Seq,
    SoType, Socket, TF_CONGRECOVERY, TF_FASTRECOVERY, TF_NEEDSYN, TF_SACK_PERMIT, TF_SENTFIN,
    TF_TOE, TcpState, Tcpcb, Tseg,
};
use vpscore::time::Duration;

fn refused<T: Encode + Decode>(value: &T) -> Option<&'static str> {
    let bytes = encode_to_list(value).expect("memory");
    let error = decode_all::<T>(bytes.as_slice()).err()?;
    assert_eq!(error.fault, Fault::Invalid);
    error.field()
}

fn connected() -> Socket {
    socket(1, 2, Some(3))
}

#[test]
fn connection_and_listener_are_read_as_written() {
    for value in [connected(), socket(1, 2, None)] {
        let bytes = encode_to_list(&value).expect("memory");
        assert_eq!(decode_all::<Socket>(bytes.as_slice()), Ok(value));
    }
}

#[test]
fn tcpcb_whose_fields_contradict_each_other_is_refused_in_that_field() {
    type Alter = fn(&mut Tcpcb);
    let cases: &[(&str, Alter)] = &[
        ("snd_nxt", |tp| {
            tp.snd_nxt = Seq(tp.snd_una.0.wrapping_sub(1))
        }),
        ("snd_nxt", |tp| tp.snd_nxt = tp.snd_max.plus(1)),
        ("t_flags", |tp| {
            tp.t_flags |= TF_NEEDSYN;
            tp.iss = Seq(tp.snd_una.0.wrapping_sub(1))
        }),
        ("snd_una", |tp| {
            tp.t_state = TcpState::SynReceived;
            tp.snd_holes = list([]);
            tp.sackhint.nexthole = None;
        }),
        ("snd_wnd", |tp| tp.snd_wnd = (65_535 << 14) + 1),
        ("max_sndwnd", |tp| tp.max_sndwnd = u32::MAX),
        ("rcv_wnd", |tp| tp.rcv_wnd = (65_535 << 14) + 1),
        ("rcv_adv", |tp| {
            tp.rcv_adv = Seq(tp.rcv_nxt.0.wrapping_sub((65_535 << 14) + 2));
        }),
        ("rcv_adv", |tp| {
            tp.rcv_adv = tp.rcv_nxt.plus((65_535 << 14) + 2)
        }),
        ("last_ack_sent", |tp| tp.last_ack_sent = tp.rcv_nxt.plus(1)),
        ("snd_scale", |tp| tp.snd_scale = 15),
        ("rcv_scale", |tp| tp.rcv_scale = 15),
        ("request_r_scale", |tp| tp.request_r_scale = 15),
        ("snd_scale", |tp| tp.t_flags = TF_SACK_PERMIT),
        ("t_flags", |tp| tp.t_flags |= TF_TOE),
        ("t_flags", |tp| tp.t_flags |= TF_SENTFIN),
        ("t_maxseg", |tp| tp.t_maxseg = 0),
        ("t_maxseg", |tp| tp.t_maxseg = 65_536),
        ("t_rxtshift", |tp| tp.t_rxtshift = 13),
        ("t_timers", |tp| tp.t_timers.persist = Some(Duration::ZERO)),
        ("t_timers", |tp| tp.t_timers.msl2 = Some(Duration::ZERO)),
        ("t_timers", |tp| tp.t_state = TcpState::TimeWait),
        ("sackblks", |tp| {
            tp.sackblks = list([SackBlk {
                start: Seq(9),
                end: Seq(9),
            }]);
        }),
        ("sackblks", |tp| {
            tp.sackblks = list(
                [SackBlk {
                    start: Seq(9),
                    end: Seq(10),
                }; 7],
            );
        }),
        ("sackblks", |tp| tp.t_flags &= !TF_SACK_PERMIT),
        ("snd_holes", |tp| {
            tp.t_flags &= !TF_SACK_PERMIT;
            tp.sackblks = list([]);
        }),
        ("sackblks", |tp| {
            tp.sackblks = list([SackBlk {
                start: Seq(1100),
                end: tp.rcv_nxt.plus((65_535 << 14) + 1),
            }]);
        }),
        ("sackhint", |tp| tp.sackhint.hole_bytes += 1),
        ("sackhint", |tp| tp.sackhint.sack_bytes_rexmit -= 1),
        ("sackhint", |tp| tp.sackhint.lost_bytes = 0x1101),
        ("snd_max", |tp| {
            tp.snd_max = tp.snd_una.plus((65_535 << 14) + 3);
        }),
        ("snd_recover", |tp| {
            tp.t_flags |= TF_FASTRECOVERY;
            tp.snd_recover = tp.snd_max.plus(2);
        }),
        ("snd_recover", |tp| {
            tp.t_flags |= TF_CONGRECOVERY;
            tp.snd_recover = tp.snd_max.plus(2);
        }),
        ("tfo_listener", |tp| {
            tp.tfo = None;
            tp.tfo_listener = Some(Ref::new(3));
        }),
        ("snd_holes", |tp| {
            let hole = SackHole {
                start: tp.snd_una,
                end: tp.snd_max.plus(1),
                rxmit: tp.snd_una,
            };
            tp.snd_holes = list([hole]);
        }),
        ("snd_holes", |tp| {
            let first = tp.snd_holes.as_slice()[0];
            tp.snd_holes = list([
                first,
                SackHole {
                    start: first.end,
                    ..first
                },
            ]);
        }),
        ("snd_holes", |tp| {
            tp.snd_holes.as_mut_slice()[0].rxmit = Seq(0x200)
        }),
        ("snd_fack", |tp| tp.snd_fack = Seq(0x4ff)),
        ("snd_fack", |tp| tp.snd_fack = tp.snd_max.plus(1)),
        ("sackhint", |tp| tp.sackhint.nexthole = Some(2)),
        ("t_segq", |tp| {
            tp.t_segq = list([Tseg {
                tqe_start: Seq(1076),
                tqe_len: 1,
                tqe_flags: 0,
            }]);
        }),
        ("t_segq", |tp| {
            let far = tp.rcv_nxt.plus(65_535 << 14);
            tp.t_segq = list([Tseg {
                tqe_start: far,
                tqe_len: 1,
                tqe_flags: 0,
            }]);
        }),
        ("tqe_len", |tp| {
            tp.t_segq = list([Tseg {
                tqe_start: Seq(1100),
                tqe_len: u32::MAX,
                tqe_flags: 0,
            }]);
        }),
        ("signature_key", |tp| {
            tp.signature_key = Some(vpscore::cbor::Bytes::copy(b"key").expect("memory"));
        }),
    ];
    for (at, (field, alter)) in cases.iter().enumerate() {
        let mut tp = tcpcb();
        assert_eq!(refused(&tp), None, "the sample is a state");
        alter(&mut tp);
        assert_eq!(refused(&tp), Some(*field), "case {at}");
    }
}

#[test]
fn listener_with_traces_of_a_peer_is_refused() {
    let listening = || {
        let mut so = socket(1, 2, None);
        so.tcpcb.take().expect("tcpcb")
    };
    assert_eq!(refused(&listening()), None);
    let mut tp = listening();
    tp.t_segq = tcpcb().t_segq;
    assert_eq!(refused(&tp), Some("t_segq"));
    let mut tp = listening();
    tp.snd_holes = tcpcb().snd_holes;
    assert_eq!(refused(&tp), Some("snd_holes"));
    let mut tp = listening();
    tp.t_timers.rexmt = Some(Duration::ZERO);
    assert_eq!(refused(&tp), Some("t_timers"));
    // What is left of a connection that was over ends it.
    let mut tp = listening();
    (tp.t_timers.keep, tp.t_timers.msl2) = (Some(Duration::ZERO), Some(Duration::ZERO));
    assert_eq!(refused(&tp), None);
}

#[test]
fn socket_that_contradicts_its_control_block_is_refused_in_that_field() {
    type Alter = fn(&mut Socket);
    let cases: &[(&str, Alter)] = &[
        ("listen", |so| so.so_options |= SO_ACCEPTCONN),
        ("so_snd", |so| so.so_snd = None),
        ("so_qstate", |so| so.so_qstate = None),
        ("so_fdref", |so| so.so_fdref = Some(true)),
        ("tcpcb", |so| so.tcpcb = None),
        ("tcpcb", |so| so.so_type = SoType::Dgram),
        ("inpcb", |so| so.domain = Domain::Inet6),
        ("inpcb", |so| so.domain = Domain::Unix),
        ("so_rcv", |so| {
            so.so_rcv.as_mut().expect("so_rcv").records = list([SbRecord {
                len: 5,
                ..SbRecord::default()
            }]);
        }),
        ("inpcb", |so| so.inpcb = None),
        ("inpcb", |so| {
            so.inpcb.as_mut().expect("inpcb").inp_inc.fport = 0;
        }),
        ("so_snd", |so| {
            so.so_snd.as_mut().expect("so_snd").sb_ccc = 0x10ff
        }),
        ("tcpcb", |so| {
            so.tcpcb.as_mut().expect("tcpcb").t_state = TcpState::Listen
        }),
        ("so_rcv", |so| {
            so.tcpcb.as_mut().expect("tcpcb").t_state = TcpState::CloseWait
        }),
        ("so_snd", |so| {
            so.tcpcb.as_mut().expect("tcpcb").t_state = TcpState::FinWait1
        }),
        ("tcpcb", |so| {
            let tp = so.tcpcb.as_mut().expect("tcpcb");
            tp.snd_up = tp.snd_una.plus(0x1101);
        }),
    ];
    for (at, (field, alter)) in cases.iter().enumerate() {
        let mut so = connected();
        alter(&mut so);
        let found = refused(&so);
        // The control block may refuse the altered state by itself, in a field of its own.
        let own = found.is_some_and(|f| ["t_segq", "snd_holes", "t_timers"].contains(&f));
        assert!(found == Some(*field) || own, "case {at}: {found:?}");
    }
    let mut so = connected();
    let tp = so.tcpcb.as_mut().expect("tcpcb");
    tp.t_state = TcpState::FinWait1;
    so.so_snd.as_mut().expect("so_snd").sb_state = SBS_CANTSENDMORE;
    assert_eq!(refused(&so), None, "shutdown(2) leads there");
}

#[test]
fn what_a_peer_can_bring_about_is_no_contradiction() {
    type Alter = fn(&mut Tcpcb);
    let cases: &[Alter] = &[
        // Text beyond the window advertised, where the buffer has room.
        |tp| tp.rcv_adv = Seq(tp.rcv_nxt.0.wrapping_sub(1000)),
        // Reordering, and what was sent since.
        |tp| tp.snd_wl1 = tp.rcv_nxt.plus(1 << 30),
        |tp| tp.snd_wl2 = Seq(tp.snd_una.0.wrapping_sub(1 << 30)),
        |tp| tp.rcv_up = tp.rcv_nxt.plus(65_535),
        |tp| tp.snd_cwnd = u32::MAX,
        |tp| tp.t_dupacks = u32::MAX,
        // Timestamps that make the round-trip time wrap.
        |tp| (tp.t_srtt, tp.t_rttvar) = (-31_250 * (1 << 31), -62_500 * (1 << 31)),
        // Duplicates, reported as such.
        |tp| {
            tp.sackblks = list([SackBlk {
                start: Seq(77),
                end: Seq(78),
            }]);
        },
    ];
    for (at, alter) in cases.iter().enumerate() {
        let mut tp = tcpcb();
        alter(&mut tp);
        assert_eq!(refused(&tp), None, "case {at}");
    }
}

#[test]
fn a_datagram_socket_that_says_it_has_a_peer_has_its_address() {
    let mut so = connected();
    (so.so_type, so.protocol, so.tcpcb) = (SoType::Dgram, 17, None);
    (so.so_listen, so.so_qstate) = (None, None);
    so.so_snd.as_mut().expect("so_snd").sb_ccc = 0;
    assert_eq!(refused(&so), None);
    so.inpcb.as_mut().expect("inpcb").inp_inc.faddr = InAddr::ANY4;
    assert_eq!(refused(&so), Some("so_state"));
}

#[test]
fn congestion_control_carries_the_memory_of_its_algorithm_only() {
    let mut tp = tcpcb();
    tp.t_ccv.algo = CcAlgo::NewReno;
    assert_eq!(refused(&tp.t_ccv), Some("cubic"));
    tp.t_ccv.cubic = None;
    assert_eq!(refused(&tp.t_ccv), None);
    tp.t_ccv.algo = CcAlgo::Cubic;
    assert_eq!(refused(&tp.t_ccv), Some("cubic"));
}

#[test]
fn window_that_wraps_the_sequence_space_is_no_contradiction() {
    for shift in [0, 1 << 30, 1 << 31, u32::MAX] {
        let mut tp = tcpcb();
        for seq in [
            &mut tp.snd_una,
            &mut tp.snd_nxt,
            &mut tp.snd_max,
            &mut tp.snd_fack,
        ] {
            *seq = seq.plus(shift);
        }
        for hole in tp.snd_holes.as_mut_slice() {
            for seq in [&mut hole.start, &mut hole.end, &mut hole.rxmit] {
                *seq = seq.plus(shift);
            }
        }
        assert_eq!(refused(&tp), None, "shifted by {shift}");
    }
}
