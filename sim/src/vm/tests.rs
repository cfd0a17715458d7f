// SPDX-License-Identifier: BSD-2-Clause
use super::*;

const BASE: u64 = 0x10_0000;

fn space(objects: &mut Objects, pages: u64) -> Vmspace {
    let mut space = Vmspace::new(1 << 30);
    let len = pages * PAGE_SIZE;
    assert!(
        space
            .map_at(objects, BASE, len, Prot::RW, Inherit::Copy)
            .is_ok()
    );
    space
}

fn write(space: &mut Vmspace, objects: &mut Objects, va: u64, data: &[u8]) {
    assert_eq!(View { space, objects }.write(va, data), Ok(()));
}

fn byte(space: &mut Vmspace, objects: &mut Objects, va: u64) -> u8 {
    let mut out = [0xff];
    assert_eq!(View { space, objects }.read(va, &mut out), Ok(()));
    out[0]
}

#[test]
fn neither_side_of_a_fork_sees_what_the_other_writes() {
    let mut o = Objects::new(100);
    let mut parent = space(&mut o, 2);
    write(&mut parent, &mut o, BASE, b"a");
    let mut child = parent.fork(&mut o);
    write(&mut child, &mut o, BASE, b"c");
    write(&mut parent, &mut o, BASE, b"p");
    assert_eq!(byte(&mut child, &mut o, BASE), b'c');
    assert_eq!(byte(&mut parent, &mut o, BASE), b'p');
    child.free(&mut o);
    parent.free(&mut o);
    assert!(o.is_empty());
    assert_eq!(o.resident(), 0);
}

#[test]
fn a_fork_copies_no_page_until_somebody_writes() {
    let mut o = Objects::new(100);
    let mut parent = space(&mut o, 8);
    for page in 0..8 {
        write(&mut parent, &mut o, BASE + page * PAGE_SIZE, b"x");
    }
    let mut child = parent.fork(&mut o);
    assert_eq!(o.resident(), 8);
    write(&mut child, &mut o, BASE, b"y");
    assert_eq!(o.resident(), 9);
}

#[test]
fn memory_inherited_shared_is_seen_by_both() {
    let mut o = Objects::new(100);
    let mut parent = space(&mut o, 1);
    let set = parent.set_inherit(&mut o, BASE, PAGE_SIZE, Inherit::Share);
    assert_eq!(set, Ok(()));
    let mut child = parent.fork(&mut o);
    write(&mut child, &mut o, BASE, b"s");
    assert_eq!(byte(&mut parent, &mut o, BASE), b's');
}

#[test]
fn a_grandchild_of_forks_keeps_the_chain_within_its_bound() {
    let mut o = Objects::new(10_000);
    let mut parent = space(&mut o, 1);
    let mut children = Vec::new();
    for n in 0..100_u8 {
        write(&mut parent, &mut o, BASE, &[n]);
        children.push(parent.fork(&mut o));
        assert!(o.invariants());
    }
    for (n, child) in children.iter_mut().enumerate() {
        assert_eq!(usize::from(byte(child, &mut o, BASE)), n);
    }
}

#[test]
fn what_only_one_shadow_needs_is_merged_into_it() {
    let mut o = Objects::new(100);
    let mut parent = space(&mut o, 1);
    for n in 0..10 {
        write(&mut parent, &mut o, BASE, &[n]);
        let mut child = parent.fork(&mut o);
        write(&mut parent, &mut o, BASE, &[n]);
        child.free(&mut o);
    }
    parent.fork(&mut o).free(&mut o);
    assert_eq!(o.len(), 1);
    assert_eq!(o.resident(), 1);
}

#[test]
fn unmap_in_the_middle_splits_the_entry_and_leaves_its_ends() {
    let mut o = Objects::new(100);
    let mut s = space(&mut o, 3);
    write(&mut s, &mut o, BASE + 2 * PAGE_SIZE, b"z");
    assert_eq!(s.unmap(&mut o, BASE + PAGE_SIZE, PAGE_SIZE), Ok(()));
    assert_eq!(s.entries().count(), 2);
    assert_eq!(byte(&mut s, &mut o, BASE + 2 * PAGE_SIZE), b'z');
    let view = View {
        space: &mut s,
        objects: &mut o,
    };
    let fault = view.read(BASE + PAGE_SIZE, &mut [0]).map_err(|f| f.kind);
    assert_eq!(fault, Err(FaultKind::NotMapped));
    assert!(s.invariants());
}

#[test]
fn a_write_over_the_end_of_a_mapping_says_where_it_failed() {
    let mut o = Objects::new(100);
    let mut s = space(&mut o, 1);
    let mut view = View {
        space: &mut s,
        objects: &mut o,
    };
    let end = BASE + PAGE_SIZE;
    let fault = view.write(end - 2, b"four").map_err(|f| (f.va, f.access));
    assert_eq!(fault, Err((end, Access::Write)));
}

#[test]
fn dirty_pages_are_those_written_since_the_marks_were_cleared() {
    let mut o = Objects::new(100);
    let mut s = space(&mut o, 4);
    write(&mut s, &mut o, BASE, b"1");
    let object = s.entries().next().map(|e| e.object);
    let object = object.unwrap_or(ObjId(0));
    assert_eq!(o.dirty_pages(object), [0]);
    o.clear_dirty(object);
    write(&mut s, &mut o, BASE + 3 * PAGE_SIZE, b"1");
    assert_eq!(byte(&mut s, &mut o, BASE), b'1');
    assert_eq!(o.dirty_pages(object), [3]);
}

#[test]
fn limits_hold_to_the_page() {
    let mut o = Objects::new(1);
    let mut s = Vmspace::new(2 * PAGE_SIZE);
    let map = |s: &mut Vmspace, o: &mut Objects, at, pages| {
        s.map_at(o, at, pages * PAGE_SIZE, Prot::RW, Inherit::Copy)
            .map(|_| ())
    };
    let max = 2 * PAGE_SIZE;
    assert_eq!(map(&mut s, &mut o, BASE, 3), Err(VmError::Limit { max }));
    assert_eq!(map(&mut s, &mut o, BASE, 2), Ok(()));
    write(&mut s, &mut o, BASE, b"1");
    let mut view = View {
        space: &mut s,
        objects: &mut o,
    };
    let full = view.write(BASE + PAGE_SIZE, b"1").map_err(|f| f.kind);
    assert_eq!(full, Err(FaultKind::NoMemory));
}

#[test]
fn ranges_outside_the_users_addresses_are_refused() {
    let mut o = Objects::new(1);
    let mut s = Vmspace::new(u64::MAX);
    for (start, len) in [
        (0, 1),
        (BASE + 1, 1),
        (BASE, 0),
        (BASE, u64::MAX),
        (VM_MAXUSER_ADDRESS, 1),
        (u64::MAX - PAGE_SIZE + 1, PAGE_SIZE),
    ] {
        let got = s.map_at(&mut o, start, len, Prot::RW, Inherit::Copy);
        assert_eq!(got, Err(VmError::BadRange { start, len }));
        assert_eq!(
            s.unmap(&mut o, start, len),
            Err(VmError::BadRange { start, len })
        );
    }
    assert!(o.is_empty());
}

#[test]
fn the_break_grows_and_shrinks_the_data_segment() {
    let mut o = Objects::new(10);
    let mut s = Vmspace::new(1 << 20);
    s.daddr = BASE;
    assert_eq!(s.set_break(&mut o, BASE + 5000), Ok(()));
    write(&mut s, &mut o, BASE + 8191, b"e");
    assert_eq!(s.set_break(&mut o, BASE), Ok(()));
    assert_eq!((s.size(), o.resident()), (0, 0));
}
