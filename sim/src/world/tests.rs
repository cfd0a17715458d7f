// SPDX-License-Identifier: BSD-2-Clause
use super::World;
use super::scenario::Scenario;
use std::path::Path;

fn load() -> Scenario {
    named("echo-migration.toml")
}

fn named(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    Scenario::load(&folder.join(name)).unwrap()
}

/// The scenario without its migration; clients say only so much that a restore after every event
/// stays a matter of seconds.
fn still(seed: u64) -> World {
    let mut scenario = load();
    scenario.migrate.clear();
    for program in &mut scenario.program {
        if let Some(rounds) = program.define.get_mut("ROUNDS") {
            *rounds = "8".to_owned();
        }
    }
    World::build(scenario, Some(seed), true).unwrap()
}

#[test]
fn clients_on_another_host_are_served_by_instances_over_a_lossy_network() {
    let mut world = still(1);
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
fn an_instance_with_a_connection_that_has_outlived_its_address_is_refused_a_move_before_it_stops() {
    let mut world = World::build(load(), Some(1), true).unwrap();
    loop {
        let (host, instance) = world.find("web").expect("the instance");
        let machine = world.hosts.get_mut(host).unwrap();
        let prison = machine.join.prison_of(instance.unwrap()).unwrap();
        let vnet = machine.kern.prison(prison).unwrap().vnet;
        let stack = machine.kern.vnets.get_mut(&vnet).unwrap();
        let connected = stack.transports().iter();
        let local = connected
            .map(|entry| entry.inp.inc)
            .find(|inc| inc.fport != 0);
        if let Some(inc) = local {
            assert_eq!(world.may_move(host, instance.unwrap(), 0), Ok(()));
            let stack = world.hosts[host].kern.vnets.get_mut(&vnet).unwrap();
            let of = stack
                .ip
                .ifnets()
                .find(|(_, ifnet)| ifnet.addrs.iter().any(|ifa| ifa.addr == inc.laddr));
            let index = of.unwrap().0;
            stack.ip.ifaddr_delete(index, inc.laddr).unwrap();
            break;
        }
        assert!(world.step(), "nobody connects");
    }
    world.begin_move(0);
    let why = world.refused_moves.get(&0).expect("a refusal");
    assert!(
        why.ends_with("could stand on no host: its address is gone"),
        "{why}"
    );
}

#[test]
fn the_same_seed_gives_the_same_digest_and_another_seed_another() {
    let digest = |seed| {
        let mut world = still(seed);
        while !world.all_ended() && world.step() {}
        world.trace.digest()
    };
    assert_eq!(digest(5), digest(5));
    assert_ne!(digest(5), digest(6));
}

#[test]
fn nobody_can_tell_that_the_instances_went_through_their_image_after_every_event() {
    for seed in [1, 2] {
        let mut plain = still(seed);
        let mut moved = still(seed);
        while !plain.all_ended() && plain.step() {
            assert!(moved.step());
            moved.transplant("web").unwrap();
            let (a, b) = (plain.trace.records(), moved.trace.records());
            assert_eq!(a.last(), b.last(), "event {}", plain.steps());
            assert_eq!(a.len(), b.len(), "event {}", plain.steps());
        }
        assert!(plain.all_ended());
        assert_eq!(plain.trace.digest(), moved.trace.digest());
    }
}

#[test]
fn a_program_that_moves_ends_where_it_has_moved_to_and_its_old_copy_does_not_count() {
    let mut scenario = load();
    let client = &mut scenario.program[2];
    *client.place.get_mut() = "web".to_owned();
    client
        .define
        .insert("SERVER".to_owned(), "10.0.0.11:7".to_owned());
    let mut world = World::build(scenario, None, true).unwrap();
    while !world.is_over() && world.step() {}
    assert_eq!(world.report().failures, [""; 0]);
    let fates = &world.programs.fates;
    assert_eq!(fates[2].ended, Some((0, 0)));
    assert_eq!(fates[2].output, "all answers were right\n");
    assert_eq!((fates[0].ended, fates[1].ended), (None, None));
    let mut exits = world.trace.records().iter().filter(|r| r.kind == "exit");
    assert!(exits.all(|r| r.detail == "0 0"));
}

#[test]
fn both_servers_move_while_they_serve_and_their_clients_see_no_more_than_a_pause() {
    for seed in 1..=8 {
        let mut world = World::build(load(), Some(seed), false).unwrap();
        while !world.is_over() && world.step() {}
        let report = world.report();
        assert_eq!(report.failures, [""; 0], "seed {seed}");
        assert_eq!(report.moves[0].outcome, "moved");
        assert!(world.hosts[0].instance("web").is_none());
        assert!(world.hosts[1].instance("web.db").is_some());
        // The host ids are others, the numbers inside are not.
        let [before, after] = &report.pids[..] else {
            panic!()
        };
        let inside = |table: &super::report::PidTable| {
            let mut rows: Vec<_> = table
                .rows
                .iter()
                .map(|r| (r.instance.clone(), r.numbers.clone()))
                .collect();
            rows.sort();
            rows
        };
        assert_eq!(inside(before), inside(after));
        assert!(
            before
                .rows
                .iter()
                .all(|b| after.rows.iter().all(|a| a.host != b.host))
        );
    }
}

#[test]
fn a_run_goes_on_until_programs_have_written_what_they_must() {
    let late = |ends: bool| {
        let mut scenario = load();
        scenario.migrate.clear();
        scenario.deadline_ms = 20_000;
        // The client that must only write begins long after the other has ended.
        scenario.program.drain(3..);
        let mut client = load().program.swap_remove(3);
        (client.at_ms, client.expect_exit) = (9_000, None);
        for program in [&mut scenario.program[2], &mut client] {
            program.define.insert("ROUNDS".to_owned(), "8".to_owned());
        }
        if !ends {
            client.expect_output = vec!["what it does not say".to_owned()];
        }
        scenario.program.push(client);
        let mut world = World::build(scenario, None, false).unwrap();
        while !world.is_over() && world.step() {}
        world.report()
    };
    let report = late(true);
    assert_eq!(report.failures, [""; 0]);
    assert!((9_000..20_000).contains(&report.virtual_ms), "{report:?}");
    let failures = late(false).failures;
    assert_eq!(
        failures,
        ["program client-2 did not write \"what it does not say\""]
    );
}

#[test]
fn a_program_that_is_not_there_is_told_at_the_line_that_names_it() {
    let text = "name = \"t\"\n[[host]]\nname = \"a\"\naddress = \"10.0.0.1/24\"\n\
                [[program]]\nname = \"p\"\nin = \"a\"\nfile = \"no-such.pgm\"\n";
    let scenario = Scenario::parse(text, Path::new("dir/x.toml")).unwrap();
    let refused = World::build(scenario, None, false)
        .err()
        .unwrap()
        .to_string();
    let told = "dir/x.toml:8: program \"p\": dir/no-such.pgm: cannot be read: ";
    assert!(refused.starts_with(told), "{refused}");
}

#[test]
fn an_instance_without_a_process_moves_too() {
    let mut scenario = load();
    scenario.program.clear();
    let mut world = World::build(scenario, None, false).unwrap();
    while !world.is_over() && world.step() {}
    let report = world.report();
    assert_eq!(report.failures, [""; 0]);
    assert_eq!(report.moves[0].outcome, "moved");
    assert!(world.hosts[0].instance("web").is_none());
    assert!(world.hosts[1].instance("web.db").is_some());
}

#[test]
fn a_move_that_cannot_be_leaves_the_instance_where_it_was_and_says_why() {
    let mut scenario = load();
    scenario.program.clear();
    *scenario.migrate[0].instance.get_mut() = "web.db".to_owned();
    let mut world = World::build(scenario, None, false).unwrap();
    while !world.is_over() && world.step() {}
    let failures = world.report().failures;
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(
        failures[0].contains("its parent instance is not there"),
        "{failures:?}"
    );
    assert!(world.hosts[0].instance("web.db").is_some());
}

/// Addresses of the interfaces of an instance, but for its loopback.
fn addresses(world: &World, path: &str) -> Vec<String> {
    let (host, instance) = world.find(path).expect("a host");
    let machine = &world.hosts[host];
    let prison = machine
        .join
        .prison_of(instance.expect("an instance"))
        .unwrap();
    let vnet = machine.kern.prison(prison).unwrap().vnet;
    let ifnets = machine.kern.vnets[&vnet].ip.ifnets();
    let addrs = ifnets.flat_map(|(_, ifnet)| &ifnet.addrs);
    let wired = addrs.filter(|ifa| !ifa.addr.is_loopback());
    wired
        .map(|ifa| format!("{}/{}", ifa.addr, ifa.prefix_len))
        .collect()
}

#[test]
fn clients_go_on_with_the_addresses_that_they_know_where_the_instances_have_others() {
    let mut world = World::build(named("echo-remapped.toml"), None, true).unwrap();
    while !world.is_over() && world.step() {}
    let report = world.report();
    assert_eq!(report.failures, [""; 0]);
    let told = "\n  new addresses: 10.0.0.10 is 10.1.0.10/16, 10.0.0.11 is 10.1.3.11/16; router 10.1.255.254\n";
    assert!(report.text().contains(told), "{}", report.text());
    assert_eq!(addresses(&world, "web"), ["10.1.0.10/16"]);
    assert_eq!(addresses(&world, "web.db"), ["10.1.3.11/16"]);
}

#[test]
fn instances_that_come_home_have_their_addresses_again_and_nothing_stands_before_them() {
    let mut scenario = named("echo-remapped.toml");
    let there = "[[migrate]]\ninstance = \"web\"\nto = \"alpha\"\nat_ms = 900\n";
    let home = "addresses = { \"10.0.0.10\" = \"10.0.0.10/24\", \"10.0.0.11\" = \"10.0.0.11/24\" }";
    let text = format!("name = \"t\"\n{there}router = \"10.0.0.254\"\n{home}\n");
    let more: Scenario = toml::from_str(&text).unwrap();
    scenario.migrate.extend(more.migrate);
    let mut world = World::build(scenario, None, true).unwrap();
    while !world.is_over() && world.step() {}
    assert_eq!(world.report().failures, [""; 0]);
    assert_eq!(world.moves.len(), 2);
    assert_eq!(addresses(&world, "web"), ["10.0.0.10/24"]);
    assert_eq!(world.remaps.translated(), 0);
}

#[test]
fn without_the_translation_clients_wait_in_vain() {
    let mut world = World::build(named("echo-remapped.toml"), None, true).unwrap();
    while world.remaps.translated() == 0 && world.step() {}
    while !world.all_ended() && world.step() {
        world.remaps = Default::default();
    }
    assert!(!world.all_ended());
}

#[test]
fn an_address_that_somebody_has_is_refused_before_anything_stops() {
    let mut scenario = named("echo-remapped.toml");
    // The server that serves client-1 by then.
    let taken = scenario.migrate[0].addresses.values_mut().next().unwrap();
    taken.get_mut().address = [10, 0, 0, 3].into();
    scenario.migrate[0].router = None;
    let mut world = World::build(scenario, None, true).unwrap();
    while !world.is_over() && world.step() {}
    let report = world.report();
    assert!(
        report.failures[0].contains("it has a connection with 10.0.0.3"),
        "{:?}",
        report.failures
    );
    assert!(
        world.moves.is_empty(),
        "the instance has not even begun to move"
    );
}

#[test]
fn lines_of_a_programs_output_stay_below_each_other() {
    let world = World::build(named("echo-remapped.toml"), None, true).unwrap();
    let mut report = world.report();
    report.programs[0].output = "one\ntwo\n".into();
    report.programs[1].output = "three\n".into();
    let text = report.text();
    let column = |word: &str| {
        let line = text.lines().find(|line| line.ends_with(word));
        line.and_then(|line| line.find(word))
    };
    assert!(column("one").is_some());
    assert_eq!(column("one"), column("two"));
    assert_eq!(column("one"), column("three"));
}

#[test]
fn an_instance_moves_whose_sockets_have_outlived_all_its_processes() {
    let text = r#"
        name = "outlived"
        deadline_ms = 20000
        host = [{ name = "a", address = "10.0.0.1/24" }, { name = "b", address = "10.0.0.2/24" }]
        instance = [{ name = "box", host = "a", address = "10.0.0.10/24" }]

        [[program]]
        name = "server"
        in = "a"
        file = "programs/echo-server.pgm"
        define = { PORT = "7" }

        [[program]]
        name = "client"
        in = "box"
        file = "programs/echo-client.pgm"
        define = { SERVER = "10.0.0.1:7", ROUNDS = "2" }
        at_ms = 20
        expect_exit = 0

        [[migrate]]
        instance = "box"
        to = "b"
        at_ms = 400
    "#;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let scenario = Scenario::parse(text, &folder.join("outlived.toml")).unwrap();
    let mut world = World::build(scenario, None, true).unwrap();
    while world.moves.is_empty() && world.step() {}
    let sockets = |world: &World, host: usize| {
        let stacks = world.hosts[host].kern.vnets.values();
        stacks
            .map(|stack| stack.transports().iter().count())
            .sum::<usize>()
    };
    assert!(sockets(&world, 0) > 1, "the client's end is in TIME-WAIT");
    while !world.is_over() && world.step() {}
    assert_eq!(world.report().failures, [""; 0]);
    assert_eq!(sockets(&world, 1), 1, "it has gone along");
}

#[test]
fn two_instances_of_a_host_talk_on_when_either_moves_to_another_network() {
    for (moves, from, to) in [
        ("web", "10.0.0.10", "10.1.0.10/16"),
        ("cli", "10.0.0.20", "10.1.0.20/16"),
    ] {
        let text = format!(
            r#"
            name = "pair"
            deadline_ms = 30000
            host = [{{ name = "alpha", address = "10.0.0.1/24" }}, {{ name = "beta", address = "10.1.0.1/16" }}]

            [[instance]]
            name = "web"
            host = "alpha"
            address = "10.0.0.10/24"

            [[instance]]
            name = "cli"
            host = "alpha"
            address = "10.0.0.20/24"

            [[program]]
            name = "server"
            in = "web"
            file = "programs/echo-server.pgm"
            define = {{ PORT = "7" }}

            [[program]]
            name = "client"
            in = "cli"
            file = "programs/echo-client.pgm"
            define = {{ SERVER = "10.0.0.10:7", ROUNDS = "40" }}
            at_ms = 20
            expect_exit = 0
            expect_output = ["all answers were right"]

            [[migrate]]
            instance = "{moves}"
            to = "beta"
            at_ms = 100
            router = "10.1.255.254"
            addresses = {{ "{from}" = "{to}" }}
            "#
        );
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let scenario = Scenario::parse(&text, &folder.join("pair.toml")).unwrap();
        let mut world = World::build(scenario, None, true).unwrap();
        while !world.is_over() && world.step() {}
        assert_eq!(world.report().failures, [""; 0], "{moves}");
        assert!(
            world.remaps.translated() > 0,
            "{moves}: they talk across the cable"
        );
    }
}
