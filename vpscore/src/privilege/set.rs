// SPDX-License-Identifier: BSD-2-Clause
//! The sets themselves: a wish per privilege, and what comes of it under the ancestors.

use super::{DEFAULT_ALLOW, DEFAULT_NOSYS, Error, HIGHEST, LOWEST, Priv};
use crate::errno::Errno;

/// Words in a bit set that holds every number below [`HIGHEST`].
const WORDS: usize = 11;
const _: () = assert!(WORDS * 64 >= HIGHEST as usize && (WORDS - 1) * 64 < HIGHEST as usize);

/// One bit per privilege number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bits([u64; WORDS]);

impl Bits {
    /// No privilege.
    pub const NONE: Self = Self([0; WORDS]);

    /// Whether `privilege` is in the set.
    pub fn contains(&self, privilege: Priv) -> bool {
        let (word, mask) = place(privilege);
        self.0.get(word).is_some_and(|bits| bits & mask != 0)
    }

    pub(super) fn put(&mut self, privilege: Priv, present: bool) {
        let (word, mask) = place(privilege);
        if let Some(bits) = self.0.get_mut(word) {
            *bits = if present { *bits | mask } else { *bits & !mask };
        }
    }

    /// The words, lowest numbers first, as an image carries them.
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    /// The set of these words; `None` where a bit stands for no privilege (`PRIV_VALID`).
    pub fn from_words(words: [u64; WORDS]) -> Option<Self> {
        let bits = Self(words);
        let stray = bits.zip(&Self::all(), |ours, valid| ours & !valid);
        (stray == Self::NONE).then_some(bits)
    }

    fn all() -> Self {
        let mut bits = Self::NONE;
        for raw in LOWEST.saturating_add(1)..HIGHEST {
            bits.put(Priv(raw), true);
        }
        bits
    }

    fn zip(&self, other: &Self, op: impl Fn(u64, u64) -> u64) -> Self {
        let mut out = Self::NONE;
        for (to, (a, b)) in out.0.iter_mut().zip(self.0.iter().zip(other.0.iter())) {
            *to = op(*a, *b);
        }
        out
    }

    fn first(&self) -> Option<Priv> {
        for (word, bits) in (0_u16..).zip(self.0.iter()) {
            if *bits != 0 {
                let bit = u16::try_from(bits.trailing_zeros()).ok()?;
                let raw = word.checked_mul(64)?.checked_add(bit)?;
                return Priv::from_raw(i32::from(raw));
            }
        }
        None
    }
}

const fn place(privilege: Priv) -> (usize, u64) {
    let raw = privilege.raw();
    ((raw >> 6) as usize, 1 << (raw & 63))
}

/// What an instance says of one privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// As far as the instance goes, it holds; FreeBSD's own rules come next.
    Allow,
    /// `EPERM`.
    Deny,
    /// `ENOSYS`.
    Nosys,
}

/// The privileges of one instance: its own wish, and what holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// The wish: allowed. Disjoint from `nosys`.
    allow: Bits,
    /// The wish: not implemented.
    nosys: Bits,
    /// What holds: `allow` here and in every ancestor.
    held: Bits,
    /// What answers `ENOSYS`: wished here, or in the nearest ancestor that stands in the way.
    held_nosys: Bits,
}

impl Set {
    /// vps0, which has no instance above it: everything holds.
    pub fn host() -> Self {
        let all = Bits::all();
        Self {
            allow: all,
            nosys: Bits::NONE,
            held: all,
            held_nosys: Bits::NONE,
        }
    }

    /// A new child of `parent`: [`DEFAULT_ALLOW`] and [`DEFAULT_NOSYS`], as far as `parent` goes.
    pub fn child_of(parent: &Self) -> Self {
        let mut set = Self::with(Bits::NONE, Bits::NONE);
        for privilege in DEFAULT_ALLOW {
            set.allow.put(*privilege, true);
        }
        for privilege in DEFAULT_NOSYS {
            set.nosys.put(*privilege, true);
        }
        set.inherit(parent);
        set
    }

    /// The set that an image carries, as a child of `parent` would have it.
    ///
    /// # Errors
    /// [`Error::NotHeld`] names the first privilege that the image allows and `parent` does not
    /// hold: whoever restores an instance cannot give it more than they have.
    pub fn restore(allow: Bits, nosys: Bits, parent: &Self) -> Result<Self, Error> {
        let missing = allow.zip(&parent.held, |ours, theirs| ours & !theirs);
        if let Some(privilege) = missing.first() {
            return Err(Error::NotHeld { privilege });
        }
        let nosys = nosys.zip(&allow, |nosys, allow| nosys & !allow);
        let mut set = Self::with(allow, nosys);
        set.inherit(parent);
        Ok(set)
    }

    const fn with(allow: Bits, nosys: Bits) -> Self {
        Self {
            allow,
            nosys,
            held: Bits::NONE,
            held_nosys: Bits::NONE,
        }
    }

    /// What the joint `priv_check` answers for the privilege number `raw`.
    ///
    /// # Errors
    /// `EPERM` or `ENOSYS`; `EPERM` also for a number that is no privilege.
    pub fn check(&self, raw: i32) -> Result<(), Errno> {
        let Some(privilege) = Priv::from_raw(raw) else {
            return Err(Errno::EPERM);
        };
        match self.verdict(privilege) {
            Verdict::Allow => Ok(()),
            Verdict::Deny => Err(Errno::EPERM),
            Verdict::Nosys => Err(Errno::ENOSYS),
        }
    }

    /// What holds of one privilege, the ancestors counted in.
    pub fn verdict(&self, privilege: Priv) -> Verdict {
        if self.held.contains(privilege) {
            Verdict::Allow
        } else if self.held_nosys.contains(privilege) {
            Verdict::Nosys
        } else {
            Verdict::Deny
        }
    }

    /// The instance's own wish, whatever its ancestors say.
    pub fn wish(&self, privilege: Priv) -> Verdict {
        if self.allow.contains(privilege) {
            Verdict::Allow
        } else if self.nosys.contains(privilege) {
            Verdict::Nosys
        } else {
            Verdict::Deny
        }
    }

    /// Changes the wish. What holds is stale until [`Set::inherit`] has run here and below;
    /// [`crate::instance::Tree::set_privilege`] does both.
    pub(crate) fn set_wish(&mut self, privilege: Priv, wish: Verdict) {
        self.allow.put(privilege, wish == Verdict::Allow);
        self.nosys.put(privilege, wish == Verdict::Nosys);
    }

    /// Works out what holds here from the own wish and from what holds in `parent`.
    pub(crate) fn inherit(&mut self, parent: &Self) {
        self.held = self.allow.zip(&parent.held, |own, above| own & above);
        let lost = self.allow.zip(&parent.held_nosys, |own, above| own & above);
        self.held_nosys = self.nosys.zip(&lost, |own, lost| own | lost);
    }

    /// Works out what holds where nothing is above, as in vps0.
    pub(crate) fn inherit_nothing(&mut self) {
        self.held = self.allow;
        self.held_nosys = self.nosys;
    }

    /// The wish as an image carries it: allowed, not implemented.
    pub const fn wishes(&self) -> (&Bits, &Bits) {
        (&self.allow, &self.nosys)
    }

    /// Whether I1 and I2 hold between this set and its parent's.
    pub fn agrees_with(&self, parent: Option<&Self>) -> bool {
        let mut fresh = *self;
        match parent {
            Some(parent) => fresh.inherit(parent),
            None => fresh.inherit_nothing(),
        }
        let disjoint = self.allow.zip(&self.nosys, |a, b| a & b) == Bits::NONE;
        let inside = parent.is_none_or(|parent| {
            self.held.zip(&parent.held, |own, above| own & !above) == Bits::NONE
        });
        fresh == *self && disjoint && inside
    }
}
