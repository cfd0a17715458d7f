// SPDX-License-Identifier: BSD-2-Clause
//! Every pair of states of two TCP endpoints that can be reached is reached, moved, and closed.

use std::fmt::Write as _;

use model_tests::net::world::pairs::{Bounds, Choice, Found, search};
use sim::net::tcp::State;

/// A row for each state of host 0, a column for each of host 1: the fewest choices that lead there.
fn table(found: &Found) -> String {
    let mut out = format!("{:12}", "0 \\ 1");
    for b in State::ALL {
        write!(out, "{:>12}", b.name()).expect("memory");
    }
    for a in State::ALL {
        write!(out, "\n{:12}", a.name()).expect("memory");
        for b in State::ALL {
            let cell = found.pairs.get(&(a, b));
            let cell = cell.map_or(".".into(), |path| path.len().to_string());
            write!(out, "{cell:>12}").expect("memory");
        }
    }
    writeln!(out, "\n{} pairs", found.pairs.len()).expect("memory");
    out
}

/// From each pair, with moves of one end or both, both close, what is on the wire is what it would
/// be without the moves, and no socket, timer or syncache entry is left.
fn every_pair_can_be_moved_and_closed(v6: bool) {
    let bounds = Bounds {
        lost: 1,
        fired: 1,
        queued: 2,
    };
    let found = search(bounds, v6);
    eprintln!("{} worlds, {} endings", found.worlds, found.endings);
    // The version of IP makes no difference.
    insta::assert_snapshot!("pairs", table(&found));
    // The states of RFC 9293 are as possible for one end as for the other.
    for (a, b) in found.pairs.keys() {
        assert!(found.pairs.contains_key(&(*b, *a)), "{a:?}, {b:?}");
    }
    let both = |state| &found.pairs[&(state, state)];
    // Simultaneous open: both connect (RFC 9293 section 3.5), and simultaneous close (section 3.6).
    for n in [0, 1] {
        assert!(both(State::SynReceived).contains(&Choice::Connect(n)));
        let ends = [Choice::Close(n), Choice::Shutdown(n)];
        let path = both(State::Closing);
        assert!(ends.iter().any(|end| path.contains(end)), "{path:?}");
    }
}

#[test]
fn every_pair_of_states_that_can_be_reached_over_ipv4_can_be_moved_and_closed() {
    every_pair_can_be_moved_and_closed(false);
}

#[test]
fn every_pair_of_states_that_can_be_reached_over_ipv6_can_be_moved_and_closed() {
    every_pair_can_be_moved_and_closed(true);
}
