// SPDX-License-Identifier: BSD-2-Clause
//! Data in the SYN (RFC 7413), between two stacks.

use super::*;

const IPPROTO_TCP: i32 = 6;
const TCP_FASTOPEN: i32 = 1025;

/// A server that offers Fast Open.
fn server(net: &mut Net) -> SoId {
    set(net, 1, "net.inet.tcp.fastopen.server_enable", 1);
    let listener = net.listener(1, 80, false);
    enable(net, 1, listener, &1_i32.to_le_bytes());
    listener
}

fn set(net: &mut Net, host: usize, name: &str, value: i64) {
    net.call(host, |inet, cx| inet.sysctl_set(cx, name, value))
        .unwrap();
}

fn enable(net: &mut Net, host: usize, so: SoId, value: &[u8]) {
    net.call(host, |inet, cx| {
        inet.sosetopt(cx, so, IPPROTO_TCP, TCP_FASTOPEN, value)
    })
    .unwrap();
}

/// Sends two bytes in the act of connecting; the segments that this needs until all is quiet.
fn open_with_data(net: &mut Net, listener: SoId, option: &[u8]) -> Vec<String> {
    let client = net.socket(0, false);
    enable(net, 0, client, option);
    let peer = net.addr(1, 80, false);
    net.log.clear();
    net.call(0, |inet, cx| {
        inet.sosend(cx, client, b"hi", SendFlags::default(), Some(peer))
    })
    .unwrap();
    net.run(Duration::from_millis(300));
    let trace = net.trace();
    let accepted = net.accept(1, listener).unwrap();
    assert_eq!(net.recv(1, accepted, 10).unwrap(), b"hi");
    net.close(0, client);
    net.close(1, accepted);
    net.run(Duration::from_secs(70));
    trace
}

/// The options of a client without a pre-shared key.
const PLAIN: &[u8] = &[1, 0, 0, 0];

#[test]
fn the_second_connection_carries_its_data_in_the_syn() {
    let mut net = Net::new(7);
    let listener = server(&mut net);
    let first = open_with_data(&mut net, listener, PLAIN);
    assert_eq!(first[..3], ["0 S 0", "1 S. 0", "0 P. 2"]);
    let second = open_with_data(&mut net, listener, PLAIN);
    assert_eq!(second[..2], ["0 S 2", "1 S. 0"]);
}

#[test]
fn a_cookie_outlives_one_change_of_the_key_and_not_two() {
    let mut net = Net::new(7);
    // No key but those that the test sets.
    set(&mut net, 1, "net.inet.tcp.fastopen.autokey", 0);
    let listener = server(&mut net);
    net.hosts[1].inet.fastopen_setkey(&[1; 16]);
    open_with_data(&mut net, listener, PLAIN);
    net.hosts[1].inet.fastopen_setkey(&[2; 16]);
    let old_cookie = open_with_data(&mut net, listener, PLAIN);
    assert_eq!(old_cookie[0..2], ["0 S 2", "1 S. 0"]);
    // The good old cookie was answered with a new one; two more changes make that worthless.
    net.hosts[1].inet.fastopen_setkey(&[3; 16]);
    net.hosts[1].inet.fastopen_setkey(&[4; 16]);
    let refused = open_with_data(&mut net, listener, PLAIN);
    assert_eq!(refused[..3], ["0 S 2", "1 S. 0", "0 P. 2"]);
}

#[test]
fn keys_are_drawn_by_time_while_the_server_is_on() {
    let mut net = Net::new(7);
    assert_eq!(net.next(), None);
    set(&mut net, 1, "net.inet.tcp.fastopen.server_enable", 1);
    let first = net.hosts[1].inet.tcp.fastopen.keys.clone();
    assert_eq!(first.len(), 1);
    net.run(Duration::from_secs(121));
    let second = net.hosts[1].inet.tcp.fastopen.keys.clone();
    assert_eq!((second.len(), second[1]), (2, first[0]));
    set(&mut net, 1, "net.inet.tcp.fastopen.server_enable", 0);
    assert!(net.hosts[1].inet.tcp.fastopen.keys.is_empty());
    assert_eq!(net.next(), None);
}

#[test]
fn with_a_shared_key_only_who_has_it_is_served_in_the_syn() {
    let mut net = Net::new(7);
    set(&mut net, 1, "net.inet.tcp.fastopen.psk_enable", 1);
    let listener = server(&mut net);
    net.hosts[1].inet.fastopen_setpsk(&[9; 16]);
    open_with_data(&mut net, listener, PLAIN);
    let without = open_with_data(&mut net, listener, PLAIN);
    assert_eq!(without[..3], ["0 S 2", "1 S. 0", "0 P. 2"]);
    let key: Vec<u8> = PLAIN.iter().copied().chain([9; 16]).collect();
    let with = open_with_data(&mut net, listener, &key);
    assert_eq!(with[..2], ["0 S 2", "1 S. 0"]);
    assert!(with.len() < without.len());
}

#[test]
fn a_path_that_failed_is_left_alone_for_a_while() {
    let mut net = Net::new(7);
    let listener = net.listener(1, 80, false); // Without Fast Open.
    let asks = |net: &mut Net| {
        open_with_data(net, listener, PLAIN);
        net.hosts[0]
            .inet
            .tcp
            .fastopen
            .clients
            .values()
            .next()
            .cloned()
    };
    let failed = asks(&mut net).unwrap().disable_time;
    assert!(failed.is_some());
    assert_eq!(asks(&mut net).unwrap().disable_time, failed);
    // Then it is tried again, and fails again.
    net.run(Duration::from_secs(901));
    assert!(asks(&mut net).unwrap().disable_time > failed);
    set(&mut net, 0, "net.inet.tcp.fastopen.client_enable", 0);
    assert_eq!(net.hosts[0].inet.tcp.fastopen.clients.len(), 0);
}

/// `syncache_add` returns no socket then, which `tcp_input` takes for an entry made.
#[test]
fn a_full_queue_drops_a_syn_with_a_good_cookie_silently() {
    let mut net = Net::new(7);
    let listener = server(&mut net);
    open_with_data(&mut net, listener, PLAIN);
    for _ in 0..16 {
        net.connect(0, 80, false);
    }
    net.run(Duration::from_millis(100));
    net.log.clear();
    let client = net.socket(0, false);
    enable(&mut net, 0, client, PLAIN);
    let peer = net.addr(1, 80, false);
    net.call(0, |inet, cx| {
        inet.sosend(cx, client, b"hi", SendFlags::default(), Some(peer))
    })
    .unwrap();
    net.run(Duration::from_millis(900));
    assert_eq!(net.trace(), ["0 S 2"]);
}
