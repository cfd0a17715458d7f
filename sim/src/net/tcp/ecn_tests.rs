// SPDX-License-Identifier: BSD-2-Clause
//! Accurate feedback: the counter and the handshake.

use super::super::Seq;
use super::super::tests::{report, with_established};
use super::*;

/// A segment that acknowledges `acked` bytes with this counter; the marks that it tells of.
fn told(before: u32, acked: u32, counter: u32) -> u32 {
    with_established(|conn| {
        conn.tp.ecn_agree(TF2_ACE_PERMIT | TF2_ECN_PERMIT);
        conn.tp.snd_una = Seq(0);
        conn.tp.t_maxseg = 1_000;
        conn.tp.t_scep = before;
        let mut seg = report(acked, &[]);
        seg.flags |= (counter << ACE_SHIFT) as u16;
        let congested = conn.ecn_input_segment(&seg);
        let marks = conn.tp.t_scep - before;
        assert_eq!(congested, marks > 0);
        marks
    })
}

#[test]
fn the_counter_tells_how_many_were_marked_modulo_eight() {
    assert_eq!(told(5, 1_000, 5), 0);
    assert_eq!(told(5, 1_000, 6), 1);
    assert_eq!(told(7, 2_000, 1), 2);
    // A bare acknowledgement of little cannot tell of less than its flags say.
    assert_eq!(told(5, 0, 4), 7);
}

#[test]
fn where_more_packets_are_acknowledged_than_the_counter_holds_it_went_round() {
    // Nine packets, counter unmoved: eight were marked, to be safe (RFC 9768 section 3.2.2.5).
    assert_eq!(told(5, 9_000, 5), 8);
    assert_eq!(told(5, 8_001, 6), 9);
    assert_eq!(told(5, 7_000, 5), 0);
}

#[test]
fn what_an_offer_is_answered_with_follows_the_setting_and_how_the_syn_came() {
    let offer = TH_SYN | TH_ACE;
    let classic = TH_SYN | TH_CWR | TH_ECE;
    let answer = |flags, tos, enable| syncache_respond(syncache_add(flags, tos, enable));
    for enable in 0..=4 {
        let accurate = enable >= 3;
        assert_eq!(answer(TH_SYN, 0, enable), 0);
        let plain = if enable == 0 { 0 } else { TH_ECE };
        assert_eq!(answer(classic, 0, enable), plain);
        let wanted = if accurate { TH_CWR } else { plain };
        assert_eq!(answer(offer, 0, enable), wanted);
        // A combination without a meaning yet.
        let wanted = if accurate { TH_CWR } else { 0 };
        assert_eq!(answer(TH_SYN | TH_AE, 0, enable), wanted);
    }
    assert_eq!(answer(offer, ECT0, 3), TH_AE);
    assert_eq!(answer(offer, ECT1, 3), TH_ECE | TH_CWR);
    assert_eq!(answer(offer, CE, 3), TH_AE | TH_CWR);
}

#[test]
fn the_last_acknowledgement_of_the_handshake_echoes_how_the_syn_ack_came() {
    for (tos, echoed, counted) in [
        (0, 0b010, 5),
        (ECT0, 0b100, 5),
        (ECT1, 0b011, 5),
        (CE, 0b110, 6),
    ] {
        with_established(|conn| {
            conn.tcp.sysctl.ecn_enable = 3;
            conn.ecn_input_syn_sent(TH_SYN | TH_ACK | TH_CWR, tos);
            for wanted in [echoed, counted] {
                let mut flags = TH_ACK;
                conn.ecn_output_established(&mut flags, 0, false);
                assert_eq!(ace(flags), wanted, "codepoint {tos}");
            }
        });
    }
}

#[test]
fn an_answer_that_means_nothing_ends_the_negotiation() {
    with_established(|conn| {
        conn.tcp.sysctl.ecn_enable = 3;
        conn.ecn_input_syn_sent(TH_SYN | TH_ACK | TH_ACE, 0);
        assert!(!conn.tp.has2(TF2_ACE_PERMIT | TF2_ECN_PERMIT));
        conn.ecn_input_syn_sent(TH_SYN | TH_ACK | TH_ECE, 0);
        assert!(conn.tp.has2(TF2_ECN_PERMIT) && !conn.tp.has2(TF2_ACE_PERMIT));
    });
}
