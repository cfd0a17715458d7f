// SPDX-License-Identifier: BSD-2-Clause
//! What must hold while a world lives and when it has ended.

use sim::errno::Errno;
use sim::time::Duration;

use super::World;
use super::plan::{COOKIES_ONLY, PATIENCE, PROMPT};
use crate::net::app::{App, Stage};
use crate::net::ledger::Ledger;

impl World {
    /// Buffers hold no more than their high-water marks ever allowed (one urgent kilobyte more).
    ///
    /// A window is rounded up to its scale (`tcp_output.c`, 15.0), so that each frame that arrives
    /// may move the right edge by less than that beyond the mark, until the buffer is read.
    pub(super) fn check_memory(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        if host.away.is_some() {
            return;
        }
        let inet = host.stack.transports();
        let mut empty = true;
        for so in inet.tcp_sockets() {
            let Some(x) = inet.xtcpcb(so) else { continue };
            host.marks.0 = host.marks.0.max(x.so_rcv.sb_hiwat);
            host.marks.1 = host.marks.1.max(x.so_snd.sb_hiwat);
            let held = x.so_rcv.sb_cc + x.t_segqlen;
            empty &= held == 0;
            let slack = 64 * (1 + host.since_empty);
            assert!(held <= host.marks.0 + slack, "host {n} holds {x:?}");
            let full = host.marks.1 + 1024;
            assert!(
                x.so_snd.sb_cc <= full || self.observer.shrank[n],
                "host {n} holds {x:?}"
            );
        }
        host.since_empty = if empty { 0 } else { host.since_empty + 1 };
    }

    /// Without a call of a program, few packets are sent in a second.
    pub(super) fn check_storm(&mut self) {
        if self.now.minus(self.quiet.0) > Duration::from_secs(1) {
            self.quiet = (self.now, 0, 400);
        }
        self.quiet.1 += 1;
        assert!(
            self.quiet.1 < self.quiet.2,
            "a storm of packets at {:?}",
            self.now
        );
    }

    /// How the programs ended.
    pub(super) fn judge(&mut self) {
        for n in 0..self.apps.len() {
            let active = self.plan.conns[n].active;
            let (a, p) = (&self.apps[n][active], &self.apps[n][1 - active]);
            let end = |app: &App| {
                format!(
                    "connection {n}, {:?}: {app:?} {:?}",
                    self.now, self.ledgers[n]
                )
            };
            for (e, peer) in [(a, p), (p, a)] {
                // Nobody came to be accepted, as nobody got through or stayed.
                let nobody = e.stage == Stage::Opening && (peer.left || peer.error.is_some());
                // The peer's reset is lost, and an end that waits in FIN-WAIT-2 for nothing but the
                // peer's FIN does not ask (`tcp_timer_keep`: no probes beyond CLOSING, 15.0).
                let ours = &self.ledgers[n][e.host];
                let gone = peer.left || peer.error.is_some() || !self.plan.gentle;
                let forgotten = gone && ours.ended;
                let forgotten = forgotten || self.plan.limit < PATIENCE;
                assert!(
                    e.stage == Stage::Done || nobody || forgotten,
                    "a hang: {}",
                    end(e)
                );
                // Where a cookie is all that a host keeps, what comes first must be the segment it was
                // for: others are refused (RFC 4987 section 3.6).
                let cookies = self.plan.sysctls[peer.host].contains(&COOKIES_ONLY);
                let unknown = cookies && e.error == Some(Errno::ECONNRESET);
                let excused = peer.left || (peer.error.is_some() && e.left) || unknown;
                let excused = excused || !self.plan.gentle;
                assert!(
                    e.error.is_none() || excused,
                    "no cause: {} {}",
                    end(e),
                    end(peer)
                );
            }
            if self.plan.gentle && !a.left && !p.left {
                let whole = |ledger: &Ledger| ledger.eof && ledger.at == ledger.written;
                assert!(self.ledgers[n].iter().all(whole), "{} {}", end(a), end(p));
            }
        }
        // A reset that is lost is missed only by a keep-alive, after two hours; nothing else takes long.
        let prompt = self.plan.gentle && self.apps.iter().flatten().all(|app| !app.left);
        assert!(!prompt || self.now < PROMPT, "it took until {:?}", self.now);
        self.judge_economy();
    }

    /// A packet is sent for a call, for data, for a fault, or for a timer; not for its own sake.
    fn judge_economy(&self) {
        let calls: u64 = self.apps.iter().flatten().map(App::calls).sum();
        let read: usize = self
            .ledgers
            .iter()
            .flatten()
            .map(|ledger| ledger.read)
            .sum();
        let faults = self.wires.iter().map(|wire| wire.stats);
        let faults = faults
            .map(|s| s.lost + s.cut + s.overflowed + s.duplicated + s.corrupted + s.reordered);
        let faults: u64 = faults.sum();
        let seconds = self.now.as_millis() / 1_000;
        // Five challenges a second for each connection and end (tcp_challenge_ack, 15.0), while the
        // link repeats the one or the other; a sound stack is quiet again where the link is.
        let challenges = if self.plan.gentle { 1 } else { 20 };
        let most = 100 + 4 * calls + read as u64 / 100 + 8 * faults + challenges * seconds;
        let seen = self.observer.seen.segments;
        assert!(
            seen <= most,
            "{seen} segments, at most {most}: {read} bytes, {calls} calls, {faults} faults, {seconds} s"
        );
    }

    /// In the end nothing is left: no socket, no timer.
    pub(super) fn rest(&mut self) {
        for host in [0, 1] {
            let clock = self.hosts[host].clock(self.now);
            let (apps, stack) = (&mut self.apps, &mut self.hosts[host].stack);
            if stack.is_suspended() {
                continue;
            }
            stack.with_transports(clock, |inet, cx| {
                for pair in apps {
                    if pair[host].stage != Stage::Done {
                        pair[host].give_up(inet, cx);
                    }
                }
                inet.sysctl_set(cx, "net.inet.tcp.fastopen.server_enable", 0)
                    .expect("a variable");
            });
            self.after(host);
        }
        let end = self.now.plus(Duration::from_secs(4 * 3_600));
        while self.now < end && self.step() {}
        for (n, host) in self.hosts.iter().enumerate() {
            let inet = host.stack.transports();
            let left: Vec<_> = inet
                .tcp_sockets()
                .into_iter()
                .map(|so| inet.xtcpcb(so))
                .collect();
            assert!(left.is_empty(), "host {n} keeps {left:?}");
            assert_eq!(
                (inet.syncache_count(), inet.next_timer()),
                (0, None),
                "host {n}"
            );
            assert_eq!(host.stack.next_callout(), None, "host {n}");
        }
    }
}
