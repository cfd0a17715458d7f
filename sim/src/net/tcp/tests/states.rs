// SPDX-License-Identifier: BSD-2-Clause
//! Opening, closing and ending connections on a sound link.

use super::*;
use crate::net::socket::Shut;

#[test]
fn a_connection_opens_carries_data_and_closes() {
    for v6 in [false, true] {
        let mut net = Net::new(1);
        let (client, server) = net.pair(v6);
        assert_eq!(net.send(0, client, b"hello"), Ok(5));
        net.run(Duration::from_millis(200));
        assert_eq!(net.recv(1, server, 100).unwrap(), b"hello");
        net.close(0, client);
        net.run(Duration::from_millis(200));
        assert_eq!(net.recv(1, server, 100).unwrap(), b"");
        assert_eq!(net.hosts[1].state(server), Some(State::CloseWait));
        net.close(1, server);
        net.run(Duration::from_millis(200));
        assert_eq!(net.hosts[1].state(server), None);
        assert_eq!(net.hosts[0].state(client), Some(State::TimeWait));
        let trace = net.trace();
        let expected = [
            "0 S 0", "1 S. 0", "0 . 0", "0 P. 5", "1 . 0", "0 F. 0", "1 . 0", "1 F. 0", "0 . 0",
        ];
        assert_eq!(trace, expected);
        net.run(Duration::from_secs(61));
        assert_eq!(net.hosts[0].state(client), None);
        assert_eq!(net.next(), None, "nothing is left to happen");
    }
}

#[test]
fn a_closed_port_refuses() {
    let mut net = Net::new(1);
    let client = net.connect(0, 81, false);
    net.run(Duration::from_millis(100));
    let refused = net.hosts[0].inet.soconnected(client);
    assert_eq!(refused, Err(SoError::Errno(Errno::ECONNREFUSED)));
    assert_eq!(net.trace(), ["0 S 0", "1 R. 0"]);
}

#[test]
fn nobody_there_times_out() {
    let mut net = Net::new(1);
    net.faults.loss = 1_000_000;
    let client = net.connect(0, 80, false);
    net.run(Duration::from_secs(74));
    assert!(net.hosts[0].inet.connecting(client));
    net.run(Duration::from_secs(2));
    let timeout = net.hosts[0].inet.soconnected(client);
    assert_eq!(timeout, Err(SoError::Errno(Errno::ETIMEDOUT)));
    // Keep-init ends it after 75 s: at 0, 1, 3.2, 7.4, 15.6, 31.8 and 64 s.
    assert_eq!(net.trace().len(), 7);
}

#[test]
fn simultaneous_open_becomes_one_connection() {
    let mut net = Net::new(1);
    let ends: Vec<SoId> = (0..2)
        .map(|host| {
            let so = net.socket(host, false);
            let own = net.addr(host, 80, false);
            net.call(host, |inet, cx| inet.sobind(cx, so, own)).unwrap();
            so
        })
        .collect();
    for (host, so) in ends.iter().copied().enumerate() {
        let peer = net.addr(1 - host, 80, false);
        net.call(host, |inet, cx| inet.soconnect(cx, so, peer))
            .unwrap();
    }
    net.run(Duration::from_secs(1));
    for (host, so) in ends.iter().copied().enumerate() {
        assert_eq!(net.hosts[host].state(so), Some(State::Established));
        assert_eq!(net.hosts[host].inet.soconnected(so), Ok(()));
    }
    net.send(0, ends[0], b"x").unwrap();
    net.run(Duration::from_secs(1));
    assert_eq!(net.recv(1, ends[1], 9).unwrap(), b"x");
}

#[test]
fn simultaneous_close_passes_through_closing() {
    let mut net = Net::new(1);
    let (client, server) = net.pair(false);
    net.close(0, client);
    net.close(1, server);
    assert_eq!(net.hosts[0].state(client), Some(State::FinWait1));
    net.run(Duration::from_millis(10));
    assert_eq!(net.hosts[0].state(client), Some(State::Closing));
    assert_eq!(net.hosts[1].state(server), Some(State::Closing));
    net.run(Duration::from_millis(100));
    assert_eq!(net.hosts[0].state(client), Some(State::TimeWait));
    assert_eq!(net.hosts[1].state(server), Some(State::TimeWait));
    net.run(Duration::from_secs(61));
    assert_eq!(
        (net.hosts[0].state(client), net.hosts[1].state(server)),
        (None, None)
    );
}

#[test]
fn half_close_lets_the_other_direction_go_on() {
    let mut net = Net::new(1);
    let (client, server) = net.pair(false);
    net.call(0, |inet, cx| inet.soshutdown(cx, client, Shut::Wr))
        .unwrap();
    net.run(Duration::from_millis(100));
    assert_eq!(net.recv(1, server, 9).unwrap(), b"");
    assert_eq!(
        net.send(0, client, b"no"),
        Err(SoError::Errno(Errno::EPIPE))
    );
    net.send(1, server, b"answer").unwrap();
    net.run(Duration::from_millis(100));
    assert_eq!(net.recv(0, client, 9).unwrap(), b"answer");
    assert_eq!(net.hosts[0].state(client), Some(State::FinWait2));
}

#[test]
fn data_for_a_closed_socket_are_answered_with_a_reset() {
    let mut net = Net::new(1);
    let (client, server) = net.pair(false);
    net.close(0, client);
    net.run(Duration::from_millis(100));
    net.send(1, server, b"late").unwrap();
    net.run(Duration::from_millis(100));
    assert_eq!(net.hosts[0].state(client), None);
    assert_eq!(
        net.recv(1, server, 9),
        Err(SoError::Errno(Errno::ECONNRESET))
    );
}

#[test]
fn a_linger_of_zero_resets() {
    let mut net = Net::new(1);
    let (client, server) = net.pair(false);
    net.trace();
    let linger = [1_i32.to_le_bytes(), 0_i32.to_le_bytes()].concat();
    net.call(0, |inet, cx| {
        inet.sosetopt(cx, client, 0xffff, 0x80, &linger)
    })
    .unwrap();
    net.close(0, client);
    assert_eq!(net.hosts[0].state(client), None);
    net.run(Duration::from_millis(100));
    assert_eq!(net.trace(), ["0 R. 0"]);
    assert_eq!(
        net.recv(1, server, 9),
        Err(SoError::Errno(Errno::ECONNRESET))
    );
}

#[test]
fn a_closed_listener_aborts_what_waits() {
    let mut net = Net::new(1);
    let listener = net.listener(1, 80, false);
    let client = net.connect(0, 80, false);
    net.run(Duration::from_millis(100));
    net.close(1, listener);
    net.run(Duration::from_millis(100));
    assert_eq!(
        net.recv(0, client, 9),
        Err(SoError::Errno(Errno::ECONNRESET))
    );
    assert_eq!(net.hosts[1].inet.iter().count(), 0);
}

#[test]
fn a_full_window_stops_the_sender_until_the_reader_reads() {
    let mut net = Net::new(1);
    let (client, server) = net.pair(false);
    let chunk = vec![7; 10_000];
    let mut sent = 0;
    for _ in 0..100 {
        sent += net.send(0, client, &chunk).unwrap_or(0);
        net.run(Duration::from_millis(50));
    }
    let held = net.hosts[1].inet.fionread(server).unwrap() as usize;
    assert!(held > 60_000 && sent > held, "{held} of {sent}");
    net.trace();
    net.run(Duration::from_secs(20));
    let probes = net.trace();
    assert!(
        probes.iter().any(|line| line.starts_with("0 . 1")),
        "{probes:?}"
    );
    let mut got = 0;
    for _ in 0..1000 {
        got += net.recv(1, server, 20_000).map_or(0, |d| d.len());
        net.run(Duration::from_millis(50));
    }
    assert_eq!(got, sent);
}

#[test]
fn keep_alive_finds_out_that_the_peer_is_gone() {
    let mut net = Net::new(1);
    let (client, _) = net.pair(false);
    net.faults.loss = 1_000_000;
    net.run(Duration::from_secs(7200 + 8 * 75 + 76));
    assert_eq!(
        net.recv(0, client, 9),
        Err(SoError::Errno(Errno::ETIMEDOUT))
    );
}

#[test]
fn urgent_data_are_kept_apart() {
    let mut net = Net::new(1);
    let (client, server) = net.pair(false);
    net.send(0, client, b"ab").unwrap();
    let oob = SendFlags {
        oob: true,
        ..SendFlags::default()
    };
    net.call(0, |inet, cx| inet.sosend(cx, client, b"!", oob, None))
        .unwrap();
    net.send(0, client, b"cd").unwrap();
    net.run(Duration::from_secs(1));
    assert_eq!(net.recv(1, server, 9).unwrap(), b"ab");
    let flags = RecvFlags {
        oob: true,
        ..RecvFlags::default()
    };
    let byte = net
        .call(1, |inet, cx| inet.soreceive(cx, server, 1, flags))
        .unwrap();
    assert_eq!(byte.data, b"!");
    assert_eq!(net.recv(1, server, 9).unwrap(), b"cd");
}

#[test]
fn an_urgent_byte_that_comes_too_early_leaves_the_rest_in_its_place() {
    let mut net = Net::new(1);
    let (client, server) = net.pair(false);
    let nodelay = 1_i32.to_le_bytes();
    net.call(0, |inet, cx| inet.sosetopt(cx, client, 6, 1, &nodelay))
        .unwrap();
    net.faults.loss = 1_000_000;
    net.send(0, client, b"ab").unwrap();
    net.faults.loss = 0;
    let oob = SendFlags {
        oob: true,
        ..SendFlags::default()
    };
    net.call(0, |inet, cx| inet.sosend(cx, client, b"cd!", oob, None))
        .unwrap();
    net.run(Duration::from_millis(50));
    net.send(0, client, b"ef").unwrap();
    net.run(Duration::from_secs(5));
    let mut got = Vec::new();
    while let Ok(data) = net.recv(1, server, 9) {
        got.extend(data);
    }
    assert_eq!(got, b"abcdef");
    net.send(1, server, b"x").unwrap();
    net.run(Duration::from_secs(1));
    assert_eq!(net.recv(0, client, 9).unwrap(), b"x");
}

#[test]
fn a_connection_that_ends_lets_go_of_what_came_too_early() {
    let mut net = Net::new(1);
    let (client, server) = net.pair(false);
    net.faults.loss = 1_000_000;
    net.send(0, client, &[1; 1448]).unwrap();
    net.faults.loss = 0;
    net.send(0, client, &[2; 1448]).unwrap();
    net.run(Duration::from_millis(15));
    let queued = |net: &Net| net.hosts[1].inet.xtcpcb(server).unwrap().t_segqlen;
    assert_eq!(queued(&net), 1448);
    let linger = [1_i32.to_le_bytes(), 0_i32.to_le_bytes()].concat();
    net.call(0, |inet, cx| {
        inet.sosetopt(cx, client, 0xffff, 0x80, &linger)
    })
    .unwrap();
    net.close(0, client);
    // The reset is behind the gap: it is challenged, and comes again in its place.
    net.run(Duration::from_millis(200));
    assert_eq!(net.hosts[1].state(server), Some(State::Closed));
    assert_eq!(queued(&net), 0);
}

#[test]
fn stacks_and_algorithms_that_are_not_there_cannot_be_chosen() {
    let mut host = Host::new(1, 1);
    assert_eq!(host.inet.functions_default_set("freebsd"), Ok(()));
    assert_eq!(host.inet.functions_default_set("rack"), Err(Errno::ENOENT));
    assert_eq!(host.inet.cc_algorithm_set("newreno"), Ok(()));
    assert_eq!(host.inet.cc_algorithm_set("vegas"), Err(Errno::ESRCH));
}

#[test]
fn what_a_mark_leaves_of_a_window_is_set_only_while_marks_are_not_losses() {
    let mut host = Host::new(1, 1);
    let (abe, beta_ecn) = ("net.inet.tcp.cc.abe", "net.inet.tcp.cc.newreno.beta_ecn");
    let mut set =
        |name, value| host.with(Instant::BOOT, |inet, cx| inet.sysctl_set(cx, name, value));
    assert_eq!(set(beta_ecn, 70), Err(Errno::EACCES));
    assert_eq!(set(beta_ecn, 101), Err(Errno::EACCES));
    assert_eq!(set(abe, 1), Ok(()));
    assert_eq!(set(beta_ecn, 101), Err(Errno::EINVAL));
    assert_eq!(set(beta_ecn, 70), Ok(()));
}
