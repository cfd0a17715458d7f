// SPDX-License-Identifier: BSD-2-Clause
use super::*;

const GOOD: &str = r#"
name = "t"
[[host]]
name = "a"
address = "10.0.0.1/24"
[[instance]]
name = "web"
host = "a"
address = "10.0.0.9/24"
"#;

fn complaint(text: &str) -> String {
    Scenario::parse(text, Path::new("x.toml"))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let scenario = Scenario::parse(GOOD, Path::new("dir/x.toml")).unwrap();
    assert_eq!(scenario.seed, 1);
    assert_eq!(scenario.host[0].bandwidth_mbps, 1_000);
    let beside = scenario.source.beside(Path::new("y.pgm"));
    assert_eq!(beside, Path::new("dir/y.pgm"));
}

#[test]
fn numbers_without_sense_are_refused() {
    let host = |address: &str, more: &str| {
        let host = format!("[[host]]\nname = \"a\"\naddress = \"{address}\"\n{more}\n");
        complaint(&format!("name = \"t\"\n{host}"))
    };
    for address in [
        "127.0.0.1/8",
        "0.0.0.0/24",
        "10.0.0.0/24",
        "10.0.0.255/24",
        "10.0.0.1/0",
        "224.0.0.1/4",
    ] {
        assert!(host(address, "").starts_with("x.toml:4: "), "{address}");
    }
    assert!(host("10.0.0.1/24", "latency_us = 10000001").contains("latency_us"));
    assert!(host("10.0.0.1/24", "populated = 4294967295").contains("populated"));
    assert!(
        complaint(&GOOD.replace(
            "name = \"t\"",
            "name = \"t\"\ndeadline_ms = 18446744073709551615"
        ))
        .contains("a day")
    );
    let many = |n: u32| {
        let host = |i| {
            format!(
                "[[host]]\nname = \"h{i}\"\naddress = \"10.0.{}.{}/8\"\n",
                i / 200,
                i % 200 + 1
            )
        };
        let hosts: String = (0..n).map(host).collect();
        Scenario::parse(&format!("name = \"t\"\n{hosts}"), Path::new("x.toml"))
    };
    assert!(many(254).is_ok());
    assert!(
        many(255)
            .unwrap_err()
            .to_string()
            .contains("more than 254 hosts")
    );
}

#[test]
fn of_an_endless_file_no_more_is_read_than_may_be() {
    let file = std::env::temp_dir().join(format!("vpsim-long-{}", std::process::id()));
    std::fs::write(&file, "x".repeat(101)).unwrap();
    assert_eq!(read_bounded(&file, 101).unwrap().len(), 101);
    let long = read_bounded(&file, 100).unwrap_err();
    assert_eq!(long.kind(), std::io::ErrorKind::FileTooLarge);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn every_complaint_names_the_line_and_what_to_do() {
    let with = |more: &str| complaint(&format!("{GOOD}{more}"));
    assert_eq!(
        with("[[migrate]]\ninstance = \"web\"\nto = \"b\"\nat_ms = 1\n"),
        "x.toml:12: no host \"b\"; hosts are: a"
    );
    assert_eq!(
        with("[[instance]]\nname = \"db.x\"\nhost = \"a\"\naddress = \"10.0.0.8/24\"\n"),
        "x.toml:11: \"db.x\" has no parent; add instance \"db\" first"
    );
    assert!(with("[[host]]\nname = \"b\"\naddress = \"10.0.0.2\"\n").starts_with("x.toml:12: "));
    let instance = |name: &str| {
        with(&format!(
            "[[instance]]\nname = \"{name}\"\nhost = \"a\"\naddress = \"10.0.0.8/24\"\n"
        ))
    };
    assert!(instance("wéb").starts_with("x.toml:11: \"wéb\" is no name"));
    assert!(instance(&"w".repeat(32)).contains("is no name"));
    assert!(instance("").contains("is no name"));
    assert!(instance("web..x").contains("is no name"));
    assert!(instance("a").contains("is a host too"));
    assert!(instance("web.b.c.d.e.f.g.h.i").contains("levels deep"));
    assert!(with("[[host]]\nname = \"\"\naddress = \"10.0.0.2/24\"\n").contains("needs a name"));
    let to = |at: u64| {
        with(&format!(
            "[[migrate]]\ninstance = \"web\"\nto = \"a\"\nat_ms = {at}\n"
        ))
    };
    assert_eq!(
        to(1),
        "x.toml:12: \"web\" is on \"a\" by then; move it to another host"
    );
    assert!(to(60_001).contains("after deadline_ms"));
    assert!(with("[[host]]\nnme = \"b\"\n").contains("unknown field `nme`"));
    assert!(with("[[host]]\nname = \"b\"\naddress = \"10.0.0.9/8\"\n").contains("used twice"));
}

#[test]
fn new_addresses_are_checked_before_a_world_is_built() {
    let host = "[[host]]\nname = \"b\"\naddress = \"10.1.0.2/24\"\n";
    let moving = |more: &str| {
        let migrate = "[[migrate]]\ninstance = \"web\"\nto = \"b\"\nat_ms = 1\n";
        Scenario::parse(
            &format!("{GOOD}{host}{migrate}{more}\n"),
            Path::new("x.toml"),
        )
    };
    let good = moving("router = \"10.1.0.1\"\naddresses = { \"10.0.0.9\" = \"10.1.0.9/24\" }");
    assert!(good.is_ok(), "{good:?}");
    let wrong = |more: &str| moving(more).unwrap_err().to_string();
    let to = |known: &str, new: &str| wrong(&format!("addresses = {{ \"{known}\" = \"{new}\" }}"));
    assert_eq!(
        to("10.0.0.8", "10.1.0.9/24"),
        "x.toml:17: 10.0.0.8 is no address of \"web\" or of an instance below it"
    );
    assert!(to("10.0.0.9", "10.1.0.255/24").contains("cannot be an interface's"));
    assert!(to("10.0.0.9", "10.1.0.2/24").contains("10.1.0.2 is used twice"));
    let far = "router = \"10.2.0.1\"\naddresses = { \"10.0.0.9\" = \"10.1.0.9/24\" }";
    assert!(wrong(far).contains("the router is not in the network of 10.1.0.9/24"));
}

#[test]
fn a_router_that_cannot_be_reached_is_refused_at_its_line() {
    let moving = |router: &str, addresses: &str| {
        let host = "[[host]]\nname = \"b\"\naddress = \"10.1.0.2/24\"\n";
        let migrate = "[[migrate]]\ninstance = \"web\"\nto = \"b\"\nat_ms = 1\n";
        let text = format!("{GOOD}{host}{migrate}router = \"{router}\"\n{addresses}\n");
        Scenario::parse(&text, Path::new("x.toml")).map_err(|e| e.to_string())
    };
    let addresses = "addresses = { \"10.0.0.9\" = \"10.1.0.9/16\" }";
    assert!(moving("10.1.0.1", addresses).is_ok());
    assert_eq!(
        moving("10.1.7.1", addresses).unwrap_err(),
        "x.toml:17: router 10.1.7.1 cannot be reached: \"b\" has 10.1.0.2/24, so name an address of that network"
    );
    let taken = moving("10.1.0.2", addresses).unwrap_err();
    assert!(
        taken.starts_with("x.toml:17: router 10.1.0.2 is the address of a host"),
        "{taken}"
    );
    let taken = moving("10.1.0.9", addresses).unwrap_err();
    assert!(
        taken.contains("the router is not in the network"),
        "{taken}"
    );
    let alone = moving("10.1.0.1", "").unwrap_err();
    assert!(
        alone.starts_with("x.toml:17: a router is for instances"),
        "{alone}"
    );
}

#[test]
fn a_complaint_about_a_byte_names_the_line_that_it_is_in() {
    let source = Source::new(Path::new("x"), "ab\n\nc");
    let line = |at| source.complaint(Some(at), String::new()).line;
    assert_eq!([0, 2, 3, 4, 9].map(line), [1, 1, 2, 3, 3].map(Some));
    assert_eq!(source.complaint(None, String::new()).line, None);
}
