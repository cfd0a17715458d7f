// SPDX-License-Identifier: BSD-2-Clause
use super::World;
use super::scenario::Scenario;
use std::path::Path;

fn echo() -> World {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/echo-migration.toml");
    let mut scenario = Scenario::load(&file).unwrap();
    scenario.migrate.clear();
    World::build(scenario, None, true).unwrap()
}

#[test]
fn clients_on_another_host_are_served_by_instances_over_a_lossy_network() {
    let mut world = echo();
    while !world.all_ended() && world.step() {}
    for (spec, fate) in world.scenario.program.iter().zip(&world.programs.fates) {
        assert_eq!(fate.refused, None);
        if spec.expect_exit.is_some() {
            assert_eq!(fate.ended, Some((0, 0)), "{} {fate:?}", spec.name.get_ref());
            assert_eq!(fate.output, "all answers were right\n");
        }
    }
    assert_eq!(world.programs.fates[0].place, Some(("web".into(), 1)));
    assert_eq!(world.programs.fates[1].place, Some(("web.db".into(), 1)));
}

#[test]
fn the_same_seed_gives_the_same_digest_and_another_seed_another() {
    let digest = |seed| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/echo-migration.toml");
        let mut scenario = Scenario::load(&file).unwrap();
        scenario.migrate.clear();
        let mut world = World::build(scenario, Some(seed), false).unwrap();
        while !world.all_ended() && world.step() {}
        world.trace.digest()
    };
    assert_eq!(digest(5), digest(5));
    assert_ne!(digest(5), digest(6));
}
