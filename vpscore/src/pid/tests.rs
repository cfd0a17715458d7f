// SPDX-License-Identifier: BSD-2-Clause
use super::*;
use crate::limits::{DEPTH_MAX, PID_MAX_LEAST};
use crate::types::{HostId, InstanceId, ProcHandle};
use std::vec::Vec;

/// Instances in a row, each inside the one before; index 0 is the host.
struct Row(Vec<Option<Space>>);

fn id(slot: usize) -> InstanceId {
    InstanceId {
        slot: u32::try_from(slot).unwrap(),
        generation: 0,
    }
}

impl Row {
    fn new(depth: usize) -> Self {
        let mut row = Vec::from([None]);
        row.extend((0..depth).map(|_| Some(Space::create(PID_MAX_LEAST).unwrap())));
        Self(row)
    }
}

impl Spaces for Row {
    fn space(&self, id: InstanceId) -> Option<&Space> {
        self.0.get(id.slot as usize)?.as_ref()
    }

    fn space_mut(&mut self, id: InstanceId) -> Option<&mut Space> {
        self.0.get_mut(id.slot as usize)?.as_mut()
    }

    fn parent(&self, of: InstanceId) -> Option<InstanceId> {
        (of.slot as usize).checked_sub(1).map(id)
    }

    fn depth(&self, id: InstanceId) -> usize {
        id.slot as usize
    }
}

struct Host {
    row: Row,
    table: Table,
}

impl Host {
    fn new(depth: usize) -> Self {
        Self {
            row: Row::new(depth),
            table: Table::create(Kind::Pid, 640, 0x1234_5678).unwrap(),
        }
    }

    fn check(&self) {
        assert!(self.table.invariants(&self.row));
        for at in 1..self.row.0.len() {
            assert!(self.table.space_invariants(&self.row, id(at), Kind::Pid));
        }
    }

    fn reserve(&mut self, at: usize, given: &[i32]) -> Result<Slot, PlanError> {
        let plan = self.table.plan(&self.row, id(at), given, None)?;
        let mut spares = Spares::for_depth(at).unwrap();
        let slot = self.table.apply(&mut self.row, &plan, &mut spares)?;
        self.check();
        Ok(slot)
    }

    fn birth(&mut self, at: usize, given: &[i32], handle: u64, host: i32) -> Slot {
        let slot = self.reserve(at, given).unwrap();
        self.table
            .commit(&mut self.row, slot, ProcHandle(handle), HostId(host));
        self.check();
        slot
    }

    fn numbers(&self, slot: Slot) -> &[i32] {
        self.table.get(slot).unwrap().numbers()
    }

    fn used(&self, at: usize) -> usize {
        self.row.space(id(at)).unwrap().pids().used()
    }
}

#[test]
fn a_process_has_one_number_on_every_level_and_none_below_its_own() {
    let mut host = Host::new(3);
    let outer = host.birth(1, &[1], 10, 4711);
    let inner = host.birth(3, &[1], 11, 4712);
    assert_eq!(host.numbers(outer), [1]);
    assert_eq!(host.numbers(inner), [2, 2, 1]);
    let entry = host.table.get(inner).unwrap();
    assert_eq!(entry.number_at(0).0, 4712);
    assert_eq!(entry.number_at(2).0, 2);
    assert_eq!(entry.number_at(4).0, 0);
    assert_eq!(entry.own_number().0, 1);
    let space = |at| host.row.space(id(at)).unwrap();
    assert_eq!(host.table.number_in(space(1), 1, inner), Some(2));
    assert_eq!(host.table.number_in(space(2), 2, outer), None);
    assert_eq!(host.table.by_number(space(3), 1).unwrap().0, inner);
}

#[test]
fn the_deepest_level_is_allowed_and_one_below_it_is_not() {
    let mut host = Host::new(DEPTH_MAX + 1);
    let slot = host.birth(DEPTH_MAX, &[], 1, 1);
    assert_eq!(host.numbers(slot).len(), DEPTH_MAX);
    let at = id(DEPTH_MAX + 1);
    assert_eq!(
        host.table.plan(&host.row, at, &[], None).err(),
        Some(PlanError::NoInstance { instance: at })
    );
    assert_eq!(
        host.table.plan(&host.row, id(0), &[], None).err(),
        Some(PlanError::NoInstance { instance: id(0) })
    );
}

#[test]
fn given_numbers_are_those_of_the_innermost_instances() {
    let mut host = Host::new(3);
    host.birth(1, &[], 1, 1);
    let slot = host.birth(3, &[77, 5], 2, 2);
    assert_eq!(host.numbers(slot), [3, 77, 5]);
    assert_eq!(
        host.reserve(3, &[77, 6]).err(),
        Some(PlanError::InUse {
            instance: id(2),
            number: 77
        })
    );
    assert_eq!(
        host.reserve(3, &[300]).err(),
        Some(PlanError::OutOfRange {
            instance: id(3),
            number: 300
        })
    );
    assert_eq!(
        host.reserve(3, &[0]).err(),
        Some(PlanError::OutOfRange {
            instance: id(3),
            number: 0
        })
    );
    assert_eq!(
        host.reserve(2, &[9, 9, 9]).err(),
        Some(PlanError::TooDeep { given: 3 })
    );
    // Given numbers do not move the next allocation.
    assert_eq!(host.row.space(id(2)).unwrap().last_pid(), 1);
}

#[test]
fn a_refusal_on_an_outer_level_takes_nothing_on_the_inner_ones() {
    let mut host = Host::new(2);
    for number in 1..PID_MAX_LEAST {
        host.reserve(1, &[number]).unwrap();
    }
    assert_eq!(host.used(2), 0);
    assert_eq!(
        host.reserve(2, &[]).err(),
        Some(PlanError::Exhausted { instance: id(1) })
    );
    assert_eq!(host.used(2), 0);
}

#[test]
fn an_aborted_reservation_leaves_no_trace_but_the_last_number() {
    let mut host = Host::new(2);
    let slot = host.reserve(2, &[]).unwrap();
    assert_eq!(host.table.reserved(), 1);
    assert!(host.table.by_handle(ProcHandle(0)).is_none());
    assert!(host.table.by_host(HostId(0)).is_none());
    host.table.release(&mut host.row, slot);
    host.check();
    assert!(host.table.is_empty());
    assert_eq!(
        (host.used(1), host.used(2), host.table.reserved()),
        (0, 0, 0)
    );
}

#[test]
fn a_number_stays_taken_from_exit_over_reap_to_the_sweep() {
    let mut host = Host::new(1);
    let slot = host.birth(1, &[], 5, 50);
    host.table.exit(slot);
    host.check();
    assert_eq!(host.table.by_handle(ProcHandle(5)).unwrap().0, slot);
    host.table.reap(&mut host.row, slot);
    host.check();
    assert!(host.table.by_handle(ProcHandle(5)).is_none());
    assert_eq!(host.table.by_host(HostId(50)).unwrap().0, slot);
    assert_eq!(host.used(1), 1);
    let (at, serial, asked) = host.table.sweep_next().unwrap();
    assert_eq!((at, asked), (slot, HostId(50)));
    host.table.sweep_drop(&mut host.row, at, serial + 1);
    assert_eq!(host.used(1), 1, "another entry's serial");
    host.table.sweep_drop(&mut host.row, at, serial);
    host.check();
    assert_eq!(host.used(1), 0);
    assert!(host.table.sweep_next().is_none());
}

#[test]
fn the_sweep_asks_about_every_lingering_id_in_turn() {
    let mut host = Host::new(1);
    for n in 0..3u8 {
        let slot = host.birth(1, &[], u64::from(n), 100 + i32::from(n));
        host.table.reap(&mut host.row, slot);
        host.check();
    }
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(host.table.sweep_next().unwrap().2.0);
        host.check();
    }
    assert_eq!(asked, [100, 101, 102, 100]);
}

#[test]
fn a_host_id_handed_out_again_ends_the_lingering_of_its_old_bearer() {
    let mut host = Host::new(1);
    let old = host.birth(1, &[], 5, 50);
    let other = host.birth(1, &[], 6, 51);
    host.table.reap(&mut host.row, old);
    host.table.reap(&mut host.row, other);
    let new = host.birth(1, &[], 7, 50);
    assert_eq!(host.table.lingering(), 1);
    assert_eq!(host.table.by_host(HostId(50)).unwrap().0, new);
    host.table.host_taken(&mut host.row, HostId(51));
    host.check();
    assert_eq!(host.table.lingering(), 0);
    assert_eq!(host.used(1), 1);
}

#[test]
fn of_two_processes_with_one_host_id_each_is_found_by_its_handle_and_the_newer_by_the_id() {
    let mut host = Host::new(1);
    let old = host.birth(1, &[], 5, 50);
    host.table.exit(old);
    let new = host.birth(1, &[], 6, 50);
    assert_eq!(host.table.by_handle(ProcHandle(5)).unwrap().0, old);
    assert_eq!(host.table.by_handle(ProcHandle(6)).unwrap().0, new);
    assert_eq!(host.table.by_host(HostId(50)).unwrap().0, new);
    host.table.reap(&mut host.row, old);
    host.check();
    assert_eq!(host.table.by_host(HostId(50)).unwrap().0, new);
}

#[test]
fn a_process_that_goes_deeper_keeps_its_numbers_above() {
    let mut host = Host::new(3);
    host.birth(1, &[], 1, 1);
    let old = host.birth(1, &[], 2, 2);
    let before = host.numbers(old).to_vec();
    let plan = host.table.plan(&host.row, id(3), &[1], Some(old)).unwrap();
    let mut spares = Spares::for_depth(3).unwrap();
    let new = host.table.apply(&mut host.row, &plan, &mut spares).unwrap();
    assert_eq!(host.numbers(new), [before[0], 2, 1]);
    host.check();
    host.table.supersede(&mut host.row, old, new);
    host.table
        .commit(&mut host.row, new, ProcHandle(2), HostId(2));
    host.check();
    assert_eq!(host.table.by_handle(ProcHandle(2)).unwrap().0, new);
    assert_eq!(host.table.len(), 2);
    assert_eq!(host.used(1), 2);
}

#[test]
fn an_entry_that_was_to_go_deeper_and_does_not_leaves_the_old_one_whole() {
    let mut host = Host::new(2);
    let old = host.birth(1, &[], 2, 2);
    let plan = host.table.plan(&host.row, id(2), &[], Some(old)).unwrap();
    let mut spares = Spares::for_depth(2).unwrap();
    let new = host.table.apply(&mut host.row, &plan, &mut spares).unwrap();
    host.table.release(&mut host.row, new);
    host.check();
    assert_eq!((host.used(1), host.used(2)), (1, 0));
    assert_eq!(host.table.by_handle(ProcHandle(2)).unwrap().0, old);
}

#[test]
fn the_table_takes_its_limit_and_not_one_more() {
    let mut host = Host {
        row: Row::new(1),
        table: Table::create(Kind::Pid, 64, 0).unwrap(),
    };
    for n in 0..64 {
        host.birth(1, &[], n, 1000 + i32::try_from(n).unwrap());
    }
    assert_eq!(
        host.reserve(1, &[]).err(),
        Some(PlanError::TableFull { entries: 64 })
    );
    let (slot, _) = host.table.by_handle(ProcHandle(63)).unwrap();
    host.table.release(&mut host.row, slot);
    assert!(host.reserve(1, &[]).is_ok());
}

#[test]
fn a_plan_applied_without_its_memory_changes_nothing() {
    let mut host = Host::new(2);
    let plan = host.table.plan(&host.row, id(2), &[], None).unwrap();
    let mut spares = Spares::none();
    assert!(!spares.cover(Some(&plan), None));
    assert_eq!(
        host.table.apply(&mut host.row, &plan, &mut spares).err(),
        Some(PlanError::SparesShort)
    );
    host.check();
    assert!(host.table.is_empty());
    assert!(Spares::for_depth(2).unwrap().cover(Some(&plan), None));
}

#[test]
fn chains_find_every_entry_though_all_fall_into_few_buckets() {
    let mut host = Host {
        row: Row::new(1),
        table: Table::create(Kind::Pid, 8, 0).unwrap(),
    };
    for n in 0..64u64 {
        host.birth(1, &[], n * 4096, 1000 + i32::try_from(n).unwrap());
    }
    for n in (0..64u64).step_by(3) {
        let (slot, _) = host.table.by_handle(ProcHandle(n * 4096)).unwrap();
        host.table.reap(&mut host.row, slot);
        host.check();
    }
    for n in 0..64u64 {
        let found = host.table.by_handle(ProcHandle(n * 4096)).is_some();
        assert_eq!(found, n % 3 != 0);
    }
    assert!(!host.table.is_empty());
    // Every other one that lingers goes, from the middle of the chains too.
    for n in (0..64).step_by(6) {
        let (slot, entry) = host.table.by_host(HostId(1000 + n)).unwrap();
        let serial = entry.serial;
        host.table.sweep_drop(&mut host.row, slot, serial);
        host.check();
    }
    for n in 0..64 {
        let found = host.table.by_host(HostId(1000 + n)).is_some();
        assert_eq!(found, n % 6 != 0, "{n}");
    }
}

#[test]
fn a_host_id_taken_again_is_taken_from_its_bearer_in_the_middle_of_a_chain() {
    let mut host = Host {
        row: Row::new(1),
        table: Table::create(Kind::Pid, 8, 0).unwrap(),
    };
    for n in 0..16u64 {
        host.birth(1, &[], n, 1000 + i32::try_from(n).unwrap());
    }
    for n in [7, 3, 12, 0, 15] {
        host.table.host_taken(&mut host.row, HostId(1000 + n));
        host.check();
        assert!(host.table.by_host(HostId(1000 + n)).is_none());
        let (_, entry) = host.table.by_handle(ProcHandle(n as u64)).unwrap();
        assert_eq!((entry.host(), entry.stage()), (HostId(0), Stage::Live));
    }
    let left = (0..16).filter(|n| host.table.by_host(HostId(1000 + n)).is_some());
    assert_eq!(left.count(), 11);
}
