// SPDX-License-Identifier: BSD-2-Clause
//! The limits on answers to packets that nobody asked for (`badport_bandlim`, `icmp6_ratelimit`).
//!
//! Answers of each class are counted per second (`counter_ratecheck`, `kern/subr_counter.c`). At most the limit of
//! them go out, less or more by a random number of the class that is drawn anew whenever a second with too many ends,
//! so that a peer cannot count with it (`netinet/ip_icmp.c`, `netinet6/icmp6.c`, CURRENT of 2025).

use crate::errno::Errno;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Classes of answers that `net.inet.icmp.icmplim` limits (`BANDLIM_*`, `netinet/icmp_var.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bandlim {
    /// ICMP, no such port.
    IcmpUnreach,
    /// ICMP echo replies.
    IcmpEcho,
    /// ICMP timestamp replies.
    IcmpTstamp,
    /// TCP resets to segments that no connection wants.
    TcpRst,
    /// ICMPv6, no such port.
    Icmp6Unreach,
}

/// How many classes [`Bandlim`] has.
pub(crate) const BANDLIM_CLASSES: usize = 5;

/// Classes of answers that `net.inet6.icmp6.errppslimit` limits (`RATELIM_*`, `netinet6/icmp6.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ratelim6 {
    /// Parameter problem.
    ParamProb,
    /// Packet too big.
    TooBig,
    /// Destination unreachable.
    Unreach,
    /// Time exceeded.
    Texceed,
    /// Redirect of neighbour discovery.
    Redir,
    /// Echo reply.
    Reply,
    /// All others.
    Other,
}

/// How many classes [`Ratelim6`] has.
pub(crate) const RATELIM6_CLASSES: usize = 7;

impl Ratelim6 {
    /// The class of an ICMPv6 message by its type.
    pub fn of_type(kind: u8) -> Self {
        match kind {
            1 => Self::Unreach,
            2 => Self::TooBig,
            3 => Self::Texceed,
            4 => Self::ParamProb,
            129 => Self::Reply,
            137 => Self::Redir,
            _ => Self::Other,
        }
    }
}

/// The answers of a class in the second that began at `since` (`struct counter_rate`), and by how much the limit of
/// the class is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) since: Instant,
    pub(crate) count: u64,
    pub(crate) jitter: i32,
}

/// A limit and the answers of its classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit<const CLASSES: usize> {
    /// Answers per second and class; 0 for no limit.
    limit: u32,
    /// Greatest deviation of the limit.
    jitter: u32,
    rates: [Rate; CLASSES],
}

impl<const CLASSES: usize> RateLimit<CLASSES> {
    /// A limit of which nothing is used.
    pub(crate) fn new(limit: u32, jitter: u32, rng: &mut Rng) -> Self {
        let mut new = Self {
            limit,
            jitter,
            rates: [Rate::default(); CLASSES],
        };
        new.draw_all(rng);
        new
    }

    /// True where one more answer of this class may go out now; it is counted then.
    pub(crate) fn allow(&mut self, now: Instant, rng: &mut Rng, class: usize) -> bool {
        let (limit, most) = (self.limit, self.jitter);
        let Some(rate) = self.rates.get_mut(class).filter(|_| limit != 0) else {
            return true;
        };
        let over = |rate: &Rate| {
            let count = i64::try_from(rate.count).unwrap_or(i64::MAX);
            count > i64::from(limit) + i64::from(rate.jitter)
        };
        if now.since(rate.since) >= Duration::from_secs(1) {
            if over(rate) {
                draw(rate, most, rng);
            }
            (rate.since, rate.count) = (now, 0);
        }
        rate.count = rate.count.saturating_add(1);
        !over(rate)
    }

    /// Answers per second and class; 0 for no limit.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Greatest deviation of the limit.
    pub(crate) fn jitter(&self) -> u32 {
        self.jitter
    }

    /// Sets the limit (`sysctl_icmplim_and_jitter`).
    ///
    /// # Errors
    /// `EINVAL` where it is a limit and not above the jitter.
    pub(crate) fn set_limit(&mut self, limit: u32) -> Result<(), Errno> {
        if limit != 0 && limit <= self.jitter {
            return Err(Errno::EINVAL);
        }
        self.limit = limit;
        Ok(())
    }

    /// Sets the jitter, and draws that of each class anew; 0 leaves these as they are.
    ///
    /// # Errors
    /// `EINVAL` where it is not below the limit.
    pub(crate) fn set_jitter(&mut self, jitter: u32, rng: &mut Rng) -> Result<(), Errno> {
        if jitter >= self.limit {
            return Err(Errno::EINVAL);
        }
        self.jitter = jitter;
        self.draw_all(rng);
        Ok(())
    }

    /// The classes by number.
    pub(crate) fn rates(&self) -> impl Iterator<Item = (u8, &Rate)> {
        (0..).zip(&self.rates)
    }

    /// Goes on with a limit of elsewhere, which a limit and a jitter set one after the other may not get to.
    pub(crate) fn restore_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Goes on with a jitter of elsewhere.
    pub(crate) fn restore_jitter(&mut self, jitter: u32) {
        self.jitter = jitter;
    }

    /// Goes on with what was counted elsewhere.
    ///
    /// # Errors
    /// `EINVAL` for a class that there is not, and where limit and jitter contradict each other.
    pub(crate) fn restore(&mut self, rates: impl Iterator<Item = (u8, Rate)>) -> Result<(), Errno> {
        if self.limit != 0 && self.limit <= self.jitter {
            return Err(Errno::EINVAL);
        }
        for (class, rate) in rates {
            let known = self.rates.get_mut(usize::from(class));
            *known.ok_or(Errno::EINVAL)? = rate;
        }
        Ok(())
    }

    fn draw_all(&mut self, rng: &mut Rng) {
        let most = self.jitter;
        self.rates.iter_mut().for_each(|rate| draw(rate, most, rng));
    }

    /// Moves the running seconds from a clock that reads `from` to one that reads `to`.
    #[cfg(test)]
    pub(crate) fn shift(&mut self, from: Instant, to: Instant) {
        for rate in &mut self.rates {
            let age = from.since(rate.since);
            rate.since = Instant::from_nanos(to.as_nanos().saturating_sub(age.as_nanos()));
        }
    }
}

/// By how much the limit of a class is off from now on (`icmplim_new_jitter`).
fn draw(rate: &mut Rate, most: u32, rng: &mut Rng) {
    if most > 0 {
        let drawn = rng.below(u64::from(most) * 2 + 1);
        let jitter = i64::try_from(drawn).unwrap_or(0) - i64::from(most);
        // An int in the kernel as well.
        rate.jitter = jitter.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: usize = Bandlim::IcmpEcho as usize;
    const RST: usize = Bandlim::TcpRst as usize;

    fn at(second: u64) -> Instant {
        Instant::BOOT.after(Duration::from_secs(second))
    }

    /// How many of 1,000 answers of a class go out in a second.
    fn sent(lim: &mut RateLimit<BANDLIM_CLASSES>, rng: &mut Rng, second: u64, class: usize) -> i64 {
        (0..1_000)
            .filter(|_| lim.allow(at(second), rng, class))
            .count() as i64
    }

    #[test]
    fn classes_have_limits_of_their_own_that_change_after_a_second_with_too_many() {
        let mut rng = Rng::new(1, "bandlim");
        let mut lim = RateLimit::<BANDLIM_CLASSES>::new(200, 16, &mut rng);
        let off =
            |lim: &RateLimit<BANDLIM_CLASSES>, class: usize| i64::from(lim.rates[class].jitter);
        let before = [off(&lim, ECHO), off(&lim, RST)];
        assert_ne!(before[0], before[1], "drawn for each class");
        assert_eq!(sent(&mut lim, &mut rng, 3, ECHO), 200 + before[0]);
        assert_eq!(sent(&mut lim, &mut rng, 3, RST), 200 + before[1]);
        assert_eq!(sent(&mut lim, &mut rng, 4, ECHO), 200 + off(&lim, ECHO));
        assert_ne!(off(&lim, ECHO), before[0]);
        assert_eq!(off(&lim, RST), before[1], "no second of it has ended");
        let all: Vec<i64> = (5..200)
            .map(|s| sent(&mut lim, &mut rng, s, ECHO))
            .collect();
        assert_eq!(
            (all.iter().min(), all.iter().max()),
            (Some(&184), Some(&216))
        );
    }

    #[test]
    fn a_second_within_its_limit_leaves_the_jitter() {
        let mut rng = Rng::new(1, "bandlim");
        let mut lim = RateLimit::<BANDLIM_CLASSES>::new(200, 16, &mut rng);
        let before = lim.rates[ECHO].jitter;
        assert!((1..100).all(|s| lim.allow(at(s), &mut rng, ECHO)));
        assert_eq!(lim.rates[ECHO].jitter, before);
    }

    #[test]
    fn the_jitter_stays_below_the_limit_and_no_limit_lets_all_out() {
        let mut rng = Rng::new(1, "bandlim");
        let mut lim = RateLimit::<BANDLIM_CLASSES>::new(200, 16, &mut rng);
        assert_eq!(lim.set_limit(16), Err(Errno::EINVAL));
        assert_eq!(lim.set_jitter(200, &mut rng), Err(Errno::EINVAL));
        assert_eq!(lim.set_limit(0), Ok(()));
        assert_eq!(lim.set_jitter(0, &mut rng), Err(Errno::EINVAL));
        assert_eq!(sent(&mut lim, &mut rng, 3, ECHO), 1_000);
        assert_eq!(lim.set_limit(17), Ok(()));
        let drawn = lim.rates[ECHO].jitter;
        assert_eq!(lim.set_jitter(0, &mut rng), Ok(()));
        assert_eq!(lim.rates[ECHO].jitter, drawn, "what was drawn stays");
    }
}
