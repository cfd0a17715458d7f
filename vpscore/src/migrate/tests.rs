// SPDX-License-Identifier: BSD-2-Clause
use std::format;
use std::string::String;
use std::vec::Vec;

use super::source::{self, Source};
use super::target::{self, Target};
use super::*;
use crate::cbor::{Code, Fault};
use crate::instance::Name;
use crate::limits::{
    MIGRATE_CHUNKS_MAX, MIGRATE_MESSAGE_MAX, MIGRATE_OUTPUTS_MAX, MIGRATE_WINDOW_MAX,
};
use crate::time::{Duration, Instant};

const MIGRATION: MigrationId = MigrationId([7; 16]);
const INSTANCE: InstanceKey = InstanceKey([9; 16]);
const ATTEMPT: Attempt = Attempt(5);
const NOW: Instant = Instant::BOOT;
const BARE: Bare = Bare {
    migration: MIGRATION,
    attempt: ATTEMPT,
};

fn offer() -> Offer {
    Offer {
        migration: MIGRATION,
        instance: INSTANCE,
        name: Name::parse(b"web").unwrap(),
        version_min: 1,
        version_max: 1,
        release: 1_500_000,
        release_min: 1_400_000,
        abi: 1,
        features: 0b101,
        instances: 2,
        procs: 3,
        memory: 1 << 20,
    }
}

fn host() -> Capabilities {
    Capabilities {
        version_min: PROTOCOL_MIN,
        version_max: PROTOCOL_MAX,
        release: 1_500_000,
        abi: 1,
        features: 0b111,
        window: 4,
    }
}

fn sends(outputs: &Outputs) -> Vec<Message> {
    let message = |output: &Output| match output {
        Output::Send(message) => Some(*message),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

fn actions(outputs: &Outputs) -> Vec<Action> {
    let action = |output: &Output| match output {
        Output::Do(action) => Some(*action),
        _ => None,
    };
    outputs.iter().filter_map(action).collect()
}

fn persists(outputs: &Outputs) -> Vec<Mark> {
    let mark = |output: &Output| match output {
        Output::Persist(record) => Some(record.mark),
        _ => None,
    };
    outputs.iter().filter_map(mark).collect()
}

fn bare_abort(reason: Reason) -> Message {
    Message::Abort(Abort {
        migration: MIGRATION,
        reason,
    })
}

fn ack(through: u64) -> Message {
    Message::Ack(Ack {
        migration: MIGRATION,
        through,
        attempt: ATTEMPT,
    })
}

fn chunk(seq: u64) -> Message {
    Message::Chunk(Chunk {
        migration: MIGRATION,
        seq,
        bytes: 1,
        attempt: ATTEMPT,
    })
}

fn last(chunks: u64) -> Message {
    Message::Final(Final {
        migration: MIGRATION,
        chunks,
        digest: [3; 32],
        attempt: ATTEMPT,
    })
}

/// A source brought to `phase` by the shortest way.
fn source_at(phase: source::Phase) -> Source {
    use source::{Local, Phase as P};
    let (mut s, _) = Source::begin(offer(), Budget::LAN, NOW);
    let accept = Message::Accept(Accept {
        migration: MIGRATION,
        version: 1,
        window: 4,
        attempt: ATTEMPT,
    });
    let stopped = Local::Stopped {
        chunks: 1,
        bytes: 10,
        digest: [3; 32],
    };
    type Step<'a> = &'a dyn Fn(&mut Source) -> Result<Outputs, Reject>;
    let way: &[(P, Step<'_>)] = &[
        (P::Offering, &|s| s.message(&accept, NOW)),
        (P::Scanning, &|s| {
            s.local(
                Local::Scanned {
                    chunks: 2,
                    bytes: 100,
                },
                NOW,
            )
        }),
        (P::Copying, &|s| s.message(&ack(2), NOW)),
        (P::Scanning, &|s| {
            s.local(
                Local::Scanned {
                    chunks: 1,
                    bytes: 10,
                },
                NOW,
            )
        }),
        (P::Stopping, &|s| s.local(stopped, NOW)),
        (P::Finishing, &|s| s.message(&ack(3), NOW)),
        (P::Preparing, &|s| s.message(&Message::Prepared(BARE), NOW)),
        (P::Committing, &|s| {
            s.local(Local::Persisted(Mark::Committed), NOW)
        }),
        (P::Committed, &|s| match phase {
            P::Losing | P::Lost => s.message(&Message::Lost(BARE), NOW),
            P::Reclaiming | P::Reclaimed => s.local(Local::OperatorReclaim, NOW),
            _ => s.message(&Message::Owned(BARE), NOW),
        }),
        (P::Losing, &|s| {
            s.local(Local::Persisted(Mark::LostKnown), NOW)
        }),
        (P::Reclaiming, &|s| {
            s.local(Local::Persisted(Mark::Reclaimed), NOW)
        }),
        (P::Releasing, &|s| {
            s.local(Local::Persisted(Mark::Released), NOW)
        }),
    ];
    if phase == P::Aborted {
        s.local(Local::OperatorAbort, NOW).unwrap();
    }
    for (at, step) in way {
        if s.phase() == phase {
            break;
        }
        if s.phase() == *at {
            step(&mut s).unwrap();
            assert!(s.invariants());
        }
    }
    assert_eq!(s.phase(), phase);
    s
}

/// A target brought to `phase` by the shortest way.
fn target_at(phase: target::Phase) -> Target {
    use target::{Local, Phase as P};
    let record = |mark| Record {
        migration: MIGRATION,
        instance: INSTANCE,
        role: Role::Target,
        mark,
        attempt: ATTEMPT,
    };
    if matches!(phase, P::Losing | P::Lost) {
        let records = [record(Mark::Prepared)];
        let (mut t, _) = Target::recover(MIGRATION, &records, Budget::LAN, NOW).unwrap();
        if phase == P::Lost {
            t.local(Local::Persisted(Mark::Lost), NOW).unwrap();
        }
        return t;
    }
    let (mut t, _) = Target::begin(&offer(), &host(), ATTEMPT, Budget::LAN, NOW);
    if phase == P::Discarded {
        t.local(Local::OperatorAbort, NOW).unwrap();
        return t;
    }
    let mut steps = 0;
    while t.phase() != phase {
        match (t.phase(), steps) {
            (P::Checking, _) => t.local(Local::Checked, NOW),
            (P::Receiving, 1) => t.message(&chunk(0), NOW),
            (P::Receiving, 2) => t.local(Local::Applied { seq: 0 }, NOW),
            (P::Receiving, _) => t.message(&last(1), NOW),
            (P::Restoring, _) => t.local(Local::Restored, NOW),
            (P::Preparing, _) => t.local(Local::Persisted(Mark::Prepared), NOW),
            (P::Prepared, _) => t.message(&Message::Commit(BARE), NOW),
            (P::Owning, _) => t.local(Local::Persisted(Mark::Owned), NOW),
            _ => t.message(&Message::Done(BARE), NOW),
        }
        .unwrap();
        assert!(t.invariants());
        steps += 1;
    }
    t
}

fn line(text: &mut String, from: &dyn core::fmt::Debug, event: &dyn core::fmt::Debug, to: String) {
    *text += &format!("{from:?} -- {event:?} --> {to}\n");
}

#[test]
fn the_sources_table_is_the_one_on_record() {
    let mut text = String::new();
    for phase in source::Phase::ALL {
        for event in source::Event::ALL {
            match phase.rule(*event) {
                Some((next, [])) if next == *phase => {}
                Some((next, acts)) => line(&mut text, phase, event, format!("{next:?} {acts:?}")),
                None => line(&mut text, phase, event, String::from("refused")),
            }
        }
    }
    assert_eq!(text, include_str!("source.txt"), "found:\n{text}");
}

#[test]
fn the_targets_table_is_the_one_on_record() {
    let mut text = String::new();
    for phase in target::Phase::ALL {
        for event in target::Event::ALL {
            match phase.rule(*event) {
                Some((next, [])) if next == *phase => {}
                Some((next, acts)) => line(&mut text, phase, event, format!("{next:?} {acts:?}")),
                None => line(&mut text, phase, event, String::from("refused")),
            }
        }
    }
    assert_eq!(text, include_str!("target.txt"), "found:\n{text}");
}

#[test]
fn no_rule_asks_for_more_than_a_step_can_hold() {
    for phase in source::Phase::ALL {
        for event in source::Event::ALL {
            assert!(
                phase
                    .rule(*event)
                    .is_none_or(|rule| rule.1.len() <= MIGRATE_OUTPUTS_MAX)
            );
        }
    }
    for phase in target::Phase::ALL {
        for event in target::Event::ALL {
            assert!(
                phase
                    .rule(*event)
                    .is_none_or(|rule| rule.1.len() <= MIGRATE_OUTPUTS_MAX)
            );
        }
    }
}

#[test]
fn only_a_durable_commit_makes_the_source_say_so_and_only_a_durable_owned_activates() {
    for phase in source::Phase::ALL {
        for event in source::Event::ALL {
            let Some((next, acts)) = phase.rule(*event) else {
                continue;
            };
            if acts.contains(&source::Act::Commit) {
                assert_eq!(next, source::Phase::Committed);
            }
            if next == source::Phase::Committed && *phase != next {
                assert_eq!(
                    (*phase, *event),
                    (source::Phase::Committing, source::Event::Persisted)
                );
            }
            if acts.contains(&source::Act::Do(Action::Resume)) {
                assert!(phase.before_commit() || *phase == source::Phase::Reclaiming);
            }
        }
    }
    for phase in target::Phase::ALL {
        for event in target::Event::ALL {
            let Some((_, acts)) = phase.rule(*event) else {
                continue;
            };
            if acts.contains(&target::Act::Do(Action::Activate)) {
                assert_eq!(
                    (*phase, *event),
                    (target::Phase::Owning, target::Event::Persisted)
                );
            }
        }
    }
}

#[test]
fn a_migration_goes_through_with_one_round_and_says_how_long_it_stopped() {
    let at = |ms| Instant::BOOT.after(Duration::from_millis(ms));
    let (mut s, out) = Source::begin(offer(), Budget::LAN, at(0));
    let (mut t, out2) = Target::begin(&offer(), &host(), ATTEMPT, Budget::LAN, at(0));
    assert_eq!(sends(&out), [Message::Offer(offer())]);
    assert_eq!(actions(&out2), [Action::Check]);
    let accept = sends(&t.local(target::Local::Checked, at(1)).unwrap());
    let out = s.message(&accept[0], at(2)).unwrap();
    assert_eq!(actions(&out), [Action::Track, Action::Scan]);
    let out = s
        .local(
            source::Local::Scanned {
                chunks: 6,
                bytes: 600,
            },
            at(3),
        )
        .unwrap();
    assert_eq!(actions(&out), [Action::SendChunks { first: 0, count: 4 }]);
    for seq in 0..6 {
        let out = t.message(&chunk(seq), at(4)).unwrap();
        assert_eq!(actions(&out), [Action::Apply { seq }]);
        let acked = sends(&t.local(target::Local::Applied { seq }, at(5)).unwrap());
        assert_eq!(acked, [ack(seq + 1)]);
        let out = s.message(&acked[0], at(6)).unwrap();
        let expected = match seq {
            0 | 1 => [Action::SendChunks {
                first: 4 + seq,
                count: 1,
            }]
            .to_vec(),
            5 => [Action::Scan].to_vec(),
            _ => Vec::new(),
        };
        assert_eq!(actions(&out), expected);
    }
    let out = s
        .local(
            source::Local::Scanned {
                chunks: 1,
                bytes: 6,
            },
            at(10),
        )
        .unwrap();
    assert_eq!(actions(&out), [Action::Stop]);
    let stopped = source::Local::Stopped {
        chunks: 0,
        bytes: 0,
        digest: [3; 32],
    };
    let out = s.local(stopped, at(11)).unwrap();
    assert_eq!(sends(&out), [last(6)]);
    assert_eq!(
        actions(&t.message(&last(6), at(12)).unwrap()),
        [Action::Restore]
    );
    assert_eq!(t.digest(), &[3; 32]);
    assert_eq!(
        persists(&t.local(target::Local::Restored, at(13)).unwrap()),
        [Mark::Prepared]
    );
    let out = t
        .local(target::Local::Persisted(Mark::Prepared), at(14))
        .unwrap();
    assert_eq!(sends(&out), [Message::Prepared(BARE)]);
    let out = s.message(&Message::Prepared(BARE), at(15)).unwrap();
    assert_eq!(
        (persists(&out), sends(&out).len()),
        ([Mark::Committed].to_vec(), 0)
    );
    let out = s
        .local(source::Local::Persisted(Mark::Committed), at(16))
        .unwrap();
    assert_eq!(sends(&out), [Message::Commit(BARE)]);
    let out = t.message(&Message::Commit(BARE), at(17)).unwrap();
    assert_eq!(
        (persists(&out), actions(&out).len()),
        ([Mark::Owned].to_vec(), 0)
    );
    let out = t
        .local(target::Local::Persisted(Mark::Owned), at(18))
        .unwrap();
    assert_eq!(actions(&out), [Action::Activate]);
    assert_eq!(sends(&out), [Message::Owned(BARE)]);
    s.message(&Message::Owned(BARE), at(20)).unwrap();
    assert_eq!(s.downtime(), Some(Duration::from_millis(10)));
    let out = s
        .local(source::Local::Persisted(Mark::Released), at(21))
        .unwrap();
    assert_eq!(actions(&out), [Action::Release, Action::Forget]);
    let out = t.message(&Message::Done(BARE), at(22)).unwrap();
    assert_eq!(actions(&out), [Action::Forget]);
    assert!(s.phase().is_over() && t.phase().is_over());
    assert_eq!((s.next_timer(), t.next_timer()), (None, None));
    assert!(s.invariants() && t.invariants());
}

#[test]
fn an_abort_is_free_in_every_phase_before_the_commit_point_and_refused_after_it() {
    use source::Phase as P;
    for phase in P::ALL {
        let mut s = source_at(*phase);
        let out = s.local(source::Local::OperatorAbort, NOW);
        if !phase.before_commit() {
            assert_eq!(out, Err(Reject::WrongPhase), "{phase:?}");
            assert_eq!(s.phase(), *phase);
            continue;
        }
        let out = out.unwrap();
        assert_eq!(s.phase(), P::Aborted);
        assert_eq!(sends(&out), [bare_abort(Reason::Operator)]);
        let stopped = matches!(phase, P::Stopping | P::Finishing | P::Preparing);
        assert_eq!(
            actions(&out).contains(&Action::Resume),
            stopped,
            "{phase:?}"
        );
        let tracked = *phase != P::Offering;
        assert_eq!(
            actions(&out).contains(&Action::Untrack),
            tracked,
            "{phase:?}"
        );
        assert!(
            persists(&out).is_empty(),
            "absence of a record is the abort"
        );
        assert_eq!(s.next_timer(), None);
        let late = s.message(&Message::Prepared(BARE), NOW).unwrap();
        assert_eq!(sends(&late), [bare_abort(Reason::Operator)]);
    }
}

#[test]
fn whatever_fails_at_either_end_before_the_commit_point_ends_with_the_source_running() {
    use source::{Local, Phase as P};
    let abort = bare_abort(Reason::TargetFailed);
    for phase in P::ALL.iter().filter(|phase| phase.before_commit()) {
        for fail in 0..4 {
            let mut s = source_at(*phase);
            if (*phase, fail) == (P::Offering, 2) {
                // No attempt of the target is known that could have lost anything.
                assert!(s.message(&Message::Lost(BARE), NOW).is_err());
                continue;
            }
            let out = match fail {
                0 => s.message(&abort, NOW).unwrap(),
                1 => s.local(Local::Failed, NOW).unwrap(),
                2 => s.message(&Message::Lost(BARE), NOW).unwrap(),
                _ => s.tick(NOW.after(Duration::from_secs(100_000))),
            };
            assert_eq!(s.phase(), P::Aborted, "{phase:?}, failure {fail}");
            let stopped = matches!(phase, P::Stopping | P::Finishing | P::Preparing);
            assert_eq!(actions(&out).contains(&Action::Resume), stopped);
            assert!(s.invariants());
        }
    }
}

#[test]
fn the_target_holds_nothing_once_the_source_aborts_and_never_drops_what_is_committed() {
    use target::Phase as P;
    for phase in P::ALL {
        let mut t = target_at(*phase);
        let out = t.message(&bare_abort(Reason::Deadline), NOW).unwrap();
        match phase {
            P::Checking | P::Receiving | P::Restoring | P::Preparing | P::Prepared => {
                assert_eq!(actions(&out)[0], Action::Discard, "{phase:?}");
                let written = matches!(phase, P::Preparing | P::Prepared);
                assert_eq!(actions(&out).contains(&Action::Forget), written);
                assert_eq!(t.phase(), P::Discarded);
            }
            P::Lost => assert_eq!(t.phase(), P::Discarded),
            _ => assert_eq!((t.phase(), out), (*phase, Outputs::NONE), "{phase:?}"),
        }
    }
}

#[test]
fn silence_ends_a_target_that_is_not_in_doubt_and_none_that_is() {
    use target::Phase as P;
    let late = NOW.after(Duration::from_secs(100_000));
    for phase in P::ALL {
        let mut t = target_at(*phase);
        t.tick(late);
        let ends = matches!(phase, P::Checking | P::Receiving | P::Restoring);
        assert_eq!(
            t.phase() == P::Discarded,
            ends || *phase == P::Discarded,
            "{phase:?}"
        );
    }
}

#[test]
fn what_is_not_answered_is_said_again_ever_more_slowly() {
    let mut s = source_at(source::Phase::Committed);
    let mut last_at = NOW;
    let mut gaps = Vec::new();
    for _ in 0..8 {
        let at = s.next_timer().unwrap();
        assert_eq!(
            s.tick(Instant::from_nanos(at.as_nanos() - 1)),
            Outputs::NONE
        );
        assert_eq!(sends(&s.tick(at)), [Message::Commit(BARE)]);
        gaps.push(at.since(last_at).as_millis());
        last_at = at;
    }
    assert_eq!(gaps, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
}

#[test]
fn a_journal_that_cannot_be_written_leaves_the_source_in_doubt_and_is_tried_again() {
    let mut s = source_at(source::Phase::Committing);
    let failed = source::Local::PersistFailed(Mark::Committed);
    assert_eq!(s.local(failed, NOW), Ok(Outputs::NONE));
    assert_eq!(s.phase(), source::Phase::Committing);
    let at = s.next_timer().unwrap();
    assert_eq!(persists(&s.tick(at)), [Mark::Committed]);
}

#[test]
fn precopy_stops_when_little_is_left_and_gives_up_when_its_budget_is_spent() {
    let budget = Budget {
        rounds: 3,
        bytes: 10_000,
        precopy: Duration::from_secs(10),
        downtime_wanted: Duration::from_millis(10),
        downtime_most: Duration::from_millis(100),
        ..Budget::LAN
    };
    // 1000 bytes took 100 ms: 100 bytes are 10 ms, 1000 bytes are 100 ms.
    let progress = |rounds, bytes| Progress {
        rounds,
        bytes,
        round_bytes: 1000,
        round_began: NOW,
        round_took: Duration::from_millis(100),
        began: NOW,
    };
    let at = |s| NOW.after(Duration::from_secs(s));
    assert_eq!(
        progress(0, 0).next(1, &budget, at(0)),
        Next::Again,
        "the first round is due"
    );
    assert_eq!(
        progress(0, 0).next(0, &budget, at(0)),
        Next::Stop,
        "a round without chunks would never be acknowledged"
    );
    assert_eq!(progress(1, 1000).next(100, &budget, at(1)), Next::Stop);
    assert_eq!(progress(1, 1000).next(101, &budget, at(1)), Next::Again);
    assert_eq!(progress(3, 3000).next(1000, &budget, at(1)), Next::Stop);
    assert_eq!(progress(3, 3000).next(1001, &budget, at(1)), Next::GiveUp);
    assert_eq!(progress(2, 9000).next(1001, &budget, at(1)), Next::GiveUp);
    assert_eq!(progress(2, 3000).next(1001, &budget, at(10)), Next::GiveUp);
    assert_eq!(
        progress(1, u64::MAX).next(u64::MAX, &budget, at(1)),
        Next::GiveUp
    );
}

#[test]
fn a_migration_that_does_not_converge_is_given_up_with_the_instance_running() {
    let budget = Budget {
        rounds: 1,
        downtime_most: Duration::ZERO,
        ..Budget::LAN
    };
    let (mut s, _) = Source::begin(offer(), budget, NOW);
    let accept = Message::Accept(Accept {
        migration: MIGRATION,
        version: 1,
        window: 4,
        attempt: ATTEMPT,
    });
    s.message(&accept, NOW).unwrap();
    s.local(
        source::Local::Scanned {
            chunks: 1,
            bytes: 100,
        },
        NOW,
    )
    .unwrap();
    s.message(&ack(1), NOW.after(Duration::from_millis(1)))
        .unwrap();
    let out = s
        .local(
            source::Local::Scanned {
                chunks: 1,
                bytes: 100,
            },
            NOW,
        )
        .unwrap();
    assert_eq!(sends(&out), [bare_abort(Reason::NotConverging)]);
    assert_eq!(actions(&out), [Action::Untrack]);
}

#[test]
fn the_hosts_agree_on_version_abi_release_and_features_or_say_which_not() {
    let judge = |change: &dyn Fn(&mut Offer)| {
        let mut offer = offer();
        change(&mut offer);
        host().judge(&offer)
    };
    assert_eq!(judge(&|_| ()), Ok(1));
    assert_eq!(judge(&|o| o.version_max = 9), Ok(1));
    assert_eq!(
        judge(&|o| (o.version_min, o.version_max) = (2, 9)),
        Err(Reason::Version)
    );
    assert_eq!(
        judge(&|o| (o.version_min, o.version_max) = (0, 0)),
        Err(Reason::Version)
    );
    assert_eq!(judge(&|o| o.abi = 2), Err(Reason::Abi));
    assert_eq!(judge(&|o| o.release_min = 1_500_001), Err(Reason::Abi));
    assert_eq!(judge(&|o| o.features = 0b1000), Err(Reason::Feature));
    let mut odd = offer();
    odd.abi = 2;
    let (t, out) = Target::begin(&odd, &host(), ATTEMPT, Budget::LAN, NOW);
    assert!(t.phase().is_over());
    let refuse = Message::Refuse(Refuse {
        migration: MIGRATION,
        reason: Reason::Abi,
    });
    assert_eq!(sends(&out), [refuse]);
    let (mut s, _) = Source::begin(odd, Budget::LAN, NOW);
    s.message(&refuse, NOW).unwrap();
    assert_eq!(s.phase(), source::Phase::Aborted);
}

#[test]
fn hostile_messages_are_refused_and_change_nothing() {
    let other = Bare {
        migration: MigrationId([8; 16]),
        attempt: ATTEMPT,
    };
    for phase in source::Phase::ALL {
        let mut s = source_at(*phase);
        let before = s.clone();
        let wrong = Reject::WrongMigration {
            got: other.migration,
        };
        assert_eq!(s.message(&Message::Owned(other), NOW), Err(wrong));
        for message in [
            Message::Offer(offer()),
            chunk(0),
            last(0),
            Message::Commit(BARE),
            Message::Done(BARE),
        ] {
            let wrong = Reject::WrongRole {
                got: message.kind(),
            };
            assert_eq!(s.message(&message, NOW), Err(wrong));
        }
        match phase {
            source::Phase::Aborted => {}
            source::Phase::Offering => {
                let wrong = Reject::WrongAttempt { got: ATTEMPT };
                assert_eq!(s.message(&ack(0), NOW), Err(wrong));
            }
            _ => assert!(matches!(
                s.message(&ack(99), NOW),
                Err(Reject::OutOfWindow { got: 99, .. })
            )),
        }
        assert_eq!(s, before);
    }
    for phase in target::Phase::ALL {
        let mut t = target_at(*phase);
        let before = t.clone();
        for message in [
            ack(0),
            Message::Prepared(BARE),
            Message::Owned(BARE),
            Message::Lost(BARE),
        ] {
            let wrong = Reject::WrongRole {
                got: message.kind(),
            };
            assert_eq!(t.message(&message, NOW), Err(wrong));
        }
        assert!(matches!(
            t.message(&chunk(99), NOW),
            Err(Reject::OutOfWindow { got: 99, .. })
        ));
        assert_eq!(t, before);
    }
    let mut s = source_at(source::Phase::Offering);
    let accept = Message::Accept(Accept {
        migration: MIGRATION,
        version: 2,
        window: 4,
        attempt: ATTEMPT,
    });
    assert_eq!(s.message(&accept, NOW), Err(Reject::BadVersion { got: 2 }));
}

#[test]
fn chunks_beyond_what_a_migration_may_have_are_refused() {
    let mut s = source_at(source::Phase::Scanning);
    let most = source::Local::Scanned {
        chunks: MIGRATE_CHUNKS_MAX + 1,
        bytes: 1,
    };
    let got = MIGRATE_CHUNKS_MAX + 1;
    assert_eq!(s.local(most, NOW), Err(Reject::TooManyChunks { got }));
    let most = source::Local::Scanned {
        chunks: MIGRATE_CHUNKS_MAX,
        bytes: 1,
    };
    assert!(s.local(most, NOW).is_ok());
}

#[test]
fn a_final_message_that_counts_other_chunks_than_came_is_a_mismatch() {
    let mut t = target_at(target::Phase::Receiving);
    let out = t.message(&last(1), NOW).unwrap();
    assert_eq!(sends(&out), [bare_abort(Reason::Mismatch)]);
    assert_eq!(actions(&out), [Action::Discard]);
}

#[test]
fn every_message_reads_back_as_written_and_stays_within_the_bound() {
    let mut longest = offer();
    longest.name = Name::parse(&[b'n'; crate::limits::NAME_MAX]).unwrap();
    longest.features = u64::MAX;
    longest.procs = u64::MAX;
    longest.memory = u64::MAX;
    longest.instances = 4095;
    longest.release = u32::MAX;
    longest.release_min = u32::MAX;
    longest.abi = u32::MAX;
    let messages = [
        Message::Offer(longest),
        Message::Accept(Accept {
            migration: MIGRATION,
            version: 1,
            window: MIGRATE_WINDOW_MAX,
            attempt: ATTEMPT,
        }),
        Message::Refuse(Refuse {
            migration: MIGRATION,
            reason: Reason::Exists,
        }),
        chunk(MIGRATE_CHUNKS_MAX - 1),
        ack(u64::MAX),
        last(u64::MAX),
        Message::Prepared(BARE),
        Message::Commit(BARE),
        Message::Owned(BARE),
        Message::Done(BARE),
        bare_abort(Reason::Mismatch),
        Message::Lost(BARE),
    ];
    let kinds: Vec<u64> = messages.iter().map(|m| m.kind().code()).collect();
    assert_eq!(kinds, (0..12).collect::<Vec<u64>>());
    for message in messages {
        let bytes = message.write().unwrap();
        assert!(bytes.len() <= MIGRATE_MESSAGE_MAX);
        assert_eq!(Message::read(bytes.as_slice()), Ok(message));
        for cut in 0..bytes.len() {
            assert!(Message::read(&bytes.as_slice()[..cut]).is_err());
        }
    }
    let long = [0; MIGRATE_MESSAGE_MAX + 1];
    assert_eq!(Message::read(&long).unwrap_err().fault, Fault::TooLong);
}

#[test]
fn values_out_of_bounds_are_refused_where_they_are_read() {
    let refused = |message: Message| {
        Message::read(message.write().unwrap().as_slice())
            .unwrap_err()
            .field()
    };
    let accept = |window| {
        Message::Accept(Accept {
            migration: MIGRATION,
            version: 1,
            window,
            attempt: ATTEMPT,
        })
    };
    assert_eq!(refused(accept(0)), Some("window"));
    assert_eq!(refused(accept(MIGRATE_WINDOW_MAX + 1)), Some("window"));
    assert_eq!(refused(chunk(MIGRATE_CHUNKS_MAX)), Some("seq"));
    let with = |change: &dyn Fn(&mut Offer)| {
        let mut offer = offer();
        change(&mut offer);
        refused(Message::Offer(offer))
    };
    assert_eq!(with(&|o| o.version_min = 2), Some("version_max"));
    assert_eq!(with(&|o| o.release_min = u32::MAX), Some("release_min"));
    assert_eq!(with(&|o| o.instances = 0), Some("instances"));
    assert_eq!(with(&|o| o.instances = 4096), Some("instances"));
}

#[test]
fn a_journal_without_a_binding_record_recovers_to_nothing() {
    let record = |role, mark| Record {
        migration: MIGRATION,
        instance: INSTANCE,
        role,
        mark,
        attempt: ATTEMPT,
    };
    let source = |records: &[Record]| Source::recover(MIGRATION, records, Budget::LAN, NOW);
    let target = |records: &[Record]| Target::recover(MIGRATION, records, Budget::LAN, NOW);
    assert!(source(&[]).is_none() && target(&[]).is_none());
    assert!(source(&[record(Role::Target, Mark::Prepared)]).is_none());
    let foreign = Record {
        migration: MigrationId([1; 16]),
        ..record(Role::Source, Mark::Committed)
    };
    assert!(source(&[foreign]).is_none());
    let (s, out) = source(&[record(Role::Source, Mark::Committed)]).unwrap();
    assert_eq!(s.phase(), source::Phase::Committed);
    assert_eq!(sends(&out), [Message::Commit(BARE)]);
    let prepared = record(Role::Target, Mark::Prepared);
    let (t, out) = target(&[prepared]).unwrap();
    assert_eq!(t.phase(), target::Phase::Losing);
    assert_eq!(
        (persists(&out), sends(&out).len()),
        ([Mark::Lost].to_vec(), 0)
    );
    let (t, _) = target(&[prepared, record(Role::Target, Mark::Owned)]).unwrap();
    assert_eq!(t.phase(), target::Phase::Owned);
    let (t, _) = target(&[prepared, record(Role::Target, Mark::Lost)]).unwrap();
    assert_eq!(t.phase(), target::Phase::Lost);
}

#[test]
fn an_operator_may_reclaim_what_the_target_lost_and_not_what_it_owns() {
    let mut s = source_at(source::Phase::Lost);
    let out = s.local(source::Local::OperatorReclaim, NOW).unwrap();
    assert_eq!(
        (persists(&out), actions(&out).len()),
        ([Mark::Reclaimed].to_vec(), 0)
    );
    let out = s
        .local(source::Local::Persisted(Mark::Reclaimed), NOW)
        .unwrap();
    assert_eq!(actions(&out), [Action::Resume]);
    let mut s = source_at(source::Phase::Releasing);
    assert_eq!(
        s.local(source::Local::OperatorReclaim, NOW),
        Err(Reject::WrongPhase)
    );
}
