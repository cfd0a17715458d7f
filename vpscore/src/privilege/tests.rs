// SPDX-License-Identifier: BSD-2-Clause
use super::*;

#[test]
fn the_table_is_sorted_valid_and_leads_back_from_name_to_number() {
    let mut last = LOWEST;
    for (privilege, name) in NAMED {
        assert!(
            privilege.raw() > last && privilege.raw() < HIGHEST,
            "{name}"
        );
        last = privilege.raw();
        assert_eq!(privilege.name(), Some(*name));
        assert_eq!(Priv::from_name(name), Some(*privilege));
    }
    assert_eq!(NAMED.len(), COUNT_IN_15);
    assert_eq!(Priv::from_name("PRIV_NET_RAW").unwrap().raw(), 395);
    assert_eq!(Priv::VERIEXEC_CONTROL.raw(), 702);
}

#[test]
fn numbers_outside_priv_valid_are_no_privileges_and_denied() {
    for raw in [i32::MIN, -1, 0, 1, 703, 704, i32::MAX] {
        assert_eq!(Priv::from_raw(raw), None);
        assert_eq!(Set::host().check(raw), Err(Errno::EPERM));
    }
    assert_eq!(Priv::from_raw(2), Some(Priv::ACCT));
    assert_eq!(Priv::from_raw(702), Some(Priv::VERIEXEC_CONTROL));
}

#[test]
fn a_new_instance_has_the_defaults_and_nothing_else() {
    let set = Set::child_of(&Set::host());
    for raw in i32::from(LOWEST) + 1..i32::from(HIGHEST) {
        let privilege = Priv::from_raw(raw).unwrap();
        let expected = if DEFAULT_ALLOW.contains(&privilege) {
            Ok(())
        } else if DEFAULT_NOSYS.contains(&privilege) {
            Err(Errno::ENOSYS)
        } else {
            Err(Errno::EPERM)
        };
        assert_eq!(set.check(raw), expected, "{privilege:?}");
    }
    assert_eq!(set.check(395), Ok(()));
    assert_eq!(
        set.check(i32::from(Priv::KLD_LOAD.raw())),
        Err(Errno::EPERM)
    );
}

#[test]
fn a_child_answers_nosys_where_the_parent_stands_in_the_way_with_nosys() {
    let mut parent = Set::child_of(&Set::host());
    let mut child = Set::child_of(&parent);
    parent.set_wish(Priv::NET_RAW, Verdict::Nosys);
    parent.inherit(&Set::host());
    child.inherit(&parent);
    assert_eq!(child.verdict(Priv::NET_RAW), Verdict::Nosys);
    child.set_wish(Priv::NET_RAW, Verdict::Deny);
    child.inherit(&parent);
    assert_eq!(child.verdict(Priv::NET_RAW), Verdict::Deny);
}

#[test]
fn a_restored_set_with_more_than_the_parent_is_refused_by_name() {
    let parent = Set::child_of(&Set::host());
    let mut allow = Bits::NONE;
    allow.put(Priv::NET_RAW, true);
    assert!(Set::restore(allow, Bits::NONE, &parent).is_ok());
    allow.put(Priv::KLD_LOAD, true);
    assert_eq!(
        Set::restore(allow, Bits::NONE, &parent),
        Err(Error::NotHeld {
            privilege: Priv::KLD_LOAD
        })
    );
}

#[test]
fn words_with_a_bit_for_no_privilege_are_refused() {
    let mut words = [0; 11];
    assert_eq!(Bits::from_words(words), Some(Bits::NONE));
    words[0] = 1 << 1;
    assert_eq!(Bits::from_words(words), None, "_PRIV_LOWEST");
    words[0] = 1 << 2;
    assert!(Bits::from_words(words).unwrap().contains(Priv::ACCT));
    words[10] = 1 << 63;
    assert_eq!(Bits::from_words(words), None, "703");
}

/// How many privileges `sys/priv.h` of 15.0 names.
const COUNT_IN_15: usize = 243;
