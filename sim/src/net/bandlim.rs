// SPDX-License-Identifier: BSD-2-Clause
//! The limit on answers to packets that nobody asked for (`badport_bandlim`).
//!
//! Per class and second at most `net.inet.icmp.icmplim` answers (200) go out, less or more by a
//! random number up to `net.inet.icmp.icmplim_jitter` (16) that is drawn anew whenever a second
//! with too many ends (`netinet/ip_icmp.c`, FreeBSD 15.0), so that a peer cannot count with it.

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Classes of answers, each with its own budget (`BANDLIM_*`, `netinet/icmp_var.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bandlim {
    /// ICMP unreachable.
    IcmpUnreach,
    /// ICMP echo replies.
    IcmpEcho,
    /// ICMP timestamp replies.
    IcmpTstamp,
    /// ICMPv6 errors.
    Icmp6Error,
    /// TCP resets.
    TcpRst,
}

const CLASSES: usize = 5;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rate {
    since: Instant,
    count: u64,
}

/// The budgets of a vnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bandlims {
    /// Answers per second and class; 0 for no limit (`net.inet.icmp.icmplim`).
    pub icmplim: u32,
    /// ICMPv6 errors per second; 0 for no limit (`net.inet6.icmp6.errppslimit`, no jitter).
    pub errppslimit: u32,
    /// Greatest deviation of the limit (`net.inet.icmp.icmplim_jitter`).
    pub jitter_max: u32,
    jitter: i64,
    rates: [Rate; CLASSES],
}

impl Default for Bandlims {
    fn default() -> Self {
        Self {
            icmplim: 200,
            errppslimit: 100,
            jitter_max: 16,
            jitter: 0,
            rates: Default::default(),
        }
    }
}

impl Bandlims {
    /// True where one more answer of this class may go out now; it is counted then.
    pub fn allow(&mut self, now: Instant, rng: &mut Rng, class: Bandlim) -> bool {
        let v6 = class == Bandlim::Icmp6Error;
        let base = if v6 { self.errppslimit } else { self.icmplim };
        if base == 0 {
            return true;
        }
        let limit = |jitter: i64| {
            let jitter = if v6 { 0 } else { jitter };
            u64::try_from(i64::from(base) + jitter).unwrap_or(0)
        };
        let rate = &mut self.rates[class as usize];
        if now.since(rate.since) >= Duration::from_secs(1) {
            if rate.count > limit(self.jitter) && self.jitter_max > 0 {
                let span = u64::from(self.jitter_max) * 2 + 1;
                self.jitter = rng.below(span) as i64 - i64::from(self.jitter_max);
            }
            *rate = Rate {
                since: now,
                count: 0,
            };
        }
        rate.count += 1;
        rate.count <= limit(self.jitter)
    }

    /// By how much the limit is off now.
    pub(crate) fn jitter(&self) -> i64 {
        self.jitter
    }

    /// Each class with the beginning of its second and the answers in it.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u8, Instant, u64)> {
        (0..).zip(&self.rates).map(|(n, r)| (n, r.since, r.count))
    }

    /// Goes on with what was counted elsewhere; classes that there are not are left out.
    pub(crate) fn restore(
        &mut self,
        jitter: i64,
        counts: impl Iterator<Item = (u8, Instant, u64)>,
    ) {
        let most = i64::from(self.jitter_max);
        self.jitter = jitter.clamp(-most, most);
        for (class, since, count) in counts {
            if let Some(rate) = self.rates.get_mut(usize::from(class)) {
                *rate = Rate { since, count };
            }
        }
    }

    /// Moves the running seconds from a clock that reads `from` to one that reads `to`.
    #[cfg(test)]
    pub fn shift(&mut self, from: Instant, to: Instant) {
        for rate in &mut self.rates {
            let age = from.since(rate.since);
            rate.since = Instant::from_nanos(to.as_nanos().saturating_sub(age.as_nanos()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_a_second_and_class_then_silence() {
        let mut lims = Bandlims::default();
        let mut rng = Rng::new(1, "bandlim");
        let at = Instant::from_nanos(3_000_000_000);
        let count = |lims: &mut Bandlims, rng: &mut Rng, at, class| {
            (0..500).filter(|_| lims.allow(at, rng, class)).count()
        };
        assert_eq!(count(&mut lims, &mut rng, at, Bandlim::IcmpEcho), 200);
        assert_eq!(count(&mut lims, &mut rng, at, Bandlim::IcmpUnreach), 200);
        let later = at.after(Duration::from_secs(1));
        let second = count(&mut lims, &mut rng, later, Bandlim::IcmpEcho);
        assert!((184..=216).contains(&second), "{second}");
        lims.icmplim = 0;
        assert_eq!(count(&mut lims, &mut rng, later, Bandlim::IcmpEcho), 500);
    }
}
