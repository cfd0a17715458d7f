// SPDX-License-Identifier: BSD-2-Clause
//! Connections in every state, from the first SYN to the end of TIME-WAIT.

use super::*;

/// `SOL_SOCKET`, `IPPROTO_TCP` and options of both.
const SOL_SOCKET: i32 = 0xffff;
const TCP: i32 = 6;
const SO_KEEPALIVE: i32 = 8;
const TCP_CONGESTION: i32 = 64;
const TCP_KEEPIDLE: i32 = 256;
const TCP_KEEPINTVL: i32 = 512;
const TCP_KEEPCNT: i32 = 1024;
const TCP_FASTOPEN: i32 = 1025;

#[test]
fn a_conversation_does_not_notice_that_its_ends_move() {
    for v6 in [false, true] {
        let wanted = ["SYN_SENT", "ESTABLISHED", "LAST_ACK", "TIME_WAIT", "unread"];
        invisible(&wanted, |w| {
            let listener = w.listener(1, 80, 5);
            let (client, server) = pair(w, listener, v6);
            assert_eq!(w.state(server), Some(State::Established));
            for round in 0..4 {
                assert_eq!(w.send(client, &[round; 3_000]), Ok(3_000));
                assert_eq!(w.send(server, &[round + 1; 500]), Ok(500));
                w.run(60);
                assert_eq!(w.recv(server, 9_000).unwrap().len(), 3_000);
                assert_eq!(w.recv(client, 500).unwrap(), [round + 1; 500]);
                w.run(300);
            }
            w.close(client);
            w.run(100);
            assert_eq!(w.state(server), Some(State::CloseWait));
            assert_eq!(w.recv(server, 100), Ok(Vec::new()));
            w.close(server);
            w.run(100_000);
        });
    }
}

#[test]
fn a_handshake_whose_segments_are_lost_goes_on_where_it_was() {
    invisible(&["syncache", "SYN_SENT", "backoff"], |w| {
        let listener = w.listener(1, 80, 5);
        w.link.cut = true;
        let client = w.connect(0, addr(1, 80, false));
        w.run(4_000);
        w.link.cut = false;
        w.run(8_000);
        // Now the answers to SYNs are lost, and the cache repeats them.
        w.link.loss = 600_000;
        let others = [0, 1, 2].map(|_| w.connect(0, addr(1, 80, true)));
        w.run(9_000);
        w.link.loss = 0;
        w.run(40_000);
        let served = [0; 4].map(|_| w.accept(listener));
        assert!(served[0].is_some() && served[1].is_some());
        for so in others {
            w.close(so);
        }
        w.close(client);
        w.run(10_000);
    });
}

#[test]
fn a_cookie_is_honoured_after_a_move() {
    invisible(&["SYN_SENT", "ESTABLISHED"], |w| {
        w.sysctl(1, "net.inet.tcp.syncookies_only", 1);
        w.sysctl(1, "net.inet.tcp.msl", 1_000);
        let listener = w.listener(1, 80, 5);
        for _ in 0..3 {
            let (client, server) = pair(w, listener, false);
            w.send(client, b"by cookie").unwrap();
            w.run(9_000);
            assert_eq!(w.recv(server, 99).unwrap(), b"by cookie");
        }
        w.link.latency = Duration::from_millis(6_000);
        let client = w.connect(0, addr(1, 80, true));
        w.run(40_000);
        assert!(w.accept(listener).is_some());
        w.close(client);
        w.run(60_000);
    });
}

#[test]
fn a_simultaneous_open_becomes_one_connection() {
    invisible(&["SYN_SENT", "SYN_RCVD", "ESTABLISHED"], |w| {
        let ends = [0, 1].map(|host| {
            let so = w.socket(host, false, Proto::Tcp);
            w.bind(so, addr(host, 4_000, false));
            so
        });
        for (host, so) in ends.into_iter().enumerate() {
            let peer = addr(1 - host, 4_000, false);
            w.ask(so, |inet, cx, so| inet.soconnect(cx, so, peer))
                .unwrap();
        }
        w.run(500);
        assert_eq!(w.state(ends[0]), Some(State::Established));
        w.send(ends[0], b"from both").unwrap();
        w.send(ends[1], b"sides").unwrap();
        w.run(500);
        assert_eq!(w.recv(ends[1], 99).unwrap(), b"from both");
        assert_eq!(w.recv(ends[0], 99).unwrap(), b"sides");
    });
}

#[test]
fn every_way_to_close_ends_as_without_moves() {
    let wanted = [
        "FIN_WAIT_1",
        "FIN_WAIT_2",
        "CLOSING",
        "CLOSE_WAIT",
        "LAST_ACK",
        "TIME_WAIT",
        "CLOSED",
        "Msl2",
        "hostcache",
    ];
    invisible(&wanted, |w| {
        let listener = w.listener(1, 80, 9);
        let (client, server) = pair(w, listener, false);
        // Both at once.
        w.send(client, &[7; 9_000]).unwrap();
        w.run(200);
        w.close(client);
        w.close(server);
        w.run(300);
        // One direction first, and data against it.
        let (client, server) = pair(w, listener, true);
        w.shut(client, Shut::Wr).unwrap();
        w.run(100);
        assert_eq!(w.state(client), Some(State::FinWait2));
        w.send(server, &[1; 5_000]).unwrap();
        w.run(200);
        assert_eq!(w.recv(client, 9_000).unwrap().len(), 5_000);
        w.close(server);
        w.run(200);
        w.close(client);
        // An orphan in FIN-WAIT-2, whose peer does not close.
        let (client, server) = pair(w, listener, false);
        w.close(client);
        w.run(70_000);
        assert!(w.send(server, b"nobody").is_ok());
        w.run(500);
        assert!(w.recv(server, 1).is_err());
        // Unread data: a reset.
        let (client, server) = pair(w, listener, false);
        w.send(client, b"unread").unwrap();
        w.run(100);
        w.close(server);
        w.run(100);
        w.log.push(format!("{:?}", w.state(client)));
        // A FIN that is lost, again and again.
        let (client, _server) = pair(w, listener, true);
        w.link.cut = true;
        w.close(client);
        w.run(30_000);
        w.link.cut = false;
        w.run(200_000);
        // A closed listener aborts what waits.
        w.connect(0, addr(1, 80, false));
        w.run(200);
        w.close(listener);
        w.run(2_000);
    });
}

#[test]
fn what_waits_to_be_accepted_is_accepted_in_its_order() {
    invisible(&["accept queue", "syncache"], |w| {
        let listener = w.listener(1, 80, 2);
        let clients: Vec<Name> = (0..6)
            .map(|n| {
                let client = w.connect(0, addr(1, 80, n % 2 == 0));
                w.run(7);
                client
            })
            .collect();
        w.run(500);
        for client in &clients {
            let _refused_if_late = w.send(*client, b"early");
        }
        w.run(300);
        let mut accepted = Vec::new();
        while let Some(so) = w.accept(listener) {
            accepted.push(so);
            w.run(50);
        }
        assert!(accepted.len() > 3, "{}", accepted.len());
        for so in &accepted[..3] {
            assert_eq!(w.recv(*so, 9).unwrap(), b"early");
        }
        w.run(20_000);
        while w.accept(listener).is_some() {}
        w.run(1_000);
    });
}

#[test]
fn keep_alive_counts_on() {
    invisible(&["Keep"], |w| {
        let listener = w.listener(1, 80, 2);
        let (client, server) = pair(w, listener, false);
        w.setopt(server, SOL_SOCKET, SO_KEEPALIVE, 1);
        w.setopt(server, TCP, TCP_KEEPIDLE, 20);
        w.setopt(server, TCP, TCP_KEEPINTVL, 5);
        w.setopt(server, TCP, TCP_KEEPCNT, 3);
        w.run(65_000);
        assert_eq!(w.state(client), Some(State::Established));
        w.link.cut = true;
        w.run(60_000);
        let gone = w.recv(server, 9);
        assert_eq!(gone, Err(SoError::Errno(Errno::ETIMEDOUT)));
    });
}

#[test]
fn fast_open_is_pending_on_another_host_too() {
    let wanted = ["cookie", "pending Fast Open", "counted Fast Open"];
    invisible(&wanted, |w| {
        w.sysctl(1, "net.inet.tcp.fastopen.server_enable", 1);
        let listener = w.listener(1, 80, 5);
        w.setopt(listener, TCP, TCP_FASTOPEN, 1);
        for round in 0..4 {
            let client = w.socket(0, false, Proto::Tcp);
            w.setopt(client, TCP, TCP_FASTOPEN, 1);
            w.send_to(client, b"in the SYN", addr(1, 80, false))
                .unwrap();
            w.run(if round == 1 { 125_000 } else { 300 });
            let server = w.accept(listener).unwrap();
            assert_eq!(w.recv(server, 99).unwrap(), b"in the SYN");
            w.close(client);
            w.close(server);
            w.run(1_000);
        }
        // One that stays pending: its answer does not come through.
        let client = w.socket(0, false, Proto::Tcp);
        w.setopt(client, TCP, TCP_FASTOPEN, 1);
        w.send_to(client, b"late", addr(1, 80, false)).unwrap();
        w.run(12);
        w.link.cut = true;
        w.run(3_000);
        w.link.cut = false;
        w.run(10_000);
        assert!(w.accept(listener).is_some());
    });
}

#[test]
fn algorithms_of_congestion_control_go_on() {
    for algorithm in ["newreno", "cubic"] {
        invisible(&["scoreboard"], |w| {
            let listener = w.listener(1, 80, 5);
            let client = w.socket(0, false, Proto::Tcp);
            w.ask(client, |inet, cx, so| {
                inet.sosetopt(cx, so, TCP, TCP_CONGESTION, algorithm.as_bytes())
            })
            .unwrap();
            let to = addr(1, 80, false);
            w.ask(client, |inet, cx, so| inet.soconnect(cx, so, to))
                .unwrap();
            w.run(200);
            let server = w.accept(listener).unwrap();
            w.link.loss = 30_000;
            for _ in 0..12 {
                let _full = w.send(client, &[5; 12_000]);
                w.run(90);
                let _nothing = w.recv(server, 100_000);
            }
        });
    }
}

#[test]
fn resets_and_challenges_are_counted_on() {
    invisible(&["challenge", "answers"], |w| {
        // Or the blind SYN would be dropped for its missing timestamp.
        w.sysctl(1, "net.inet.tcp.rfc1323", 0);
        let listener = w.listener(1, 80, 5);
        let (_client, server) = pair(w, listener, false);
        // Ends that nobody has: resets, up to the limit of a second.
        for port in 0..240 {
            let client = w.connect(0, addr(1, 1_000 + port, false));
            w.close(client);
        }
        w.run(1_500);
        // A SYN in the middle of a connection, blind.
        let (host, n) = server;
        let so = w.hosts[host].sockets[n].unwrap();
        let inc = w.hosts[host].stack.transports().get(so).unwrap().inp.inc;
        let mut syn = vec![0; 20];
        syn[..2].copy_from_slice(&inc.fport.to_be_bytes());
        syn[2..4].copy_from_slice(&inc.lport.to_be_bytes());
        syn[12..14].copy_from_slice(&[0x50, 0x02]);
        crate::net::tcp::wire::fill_checksum(inc.faddr, inc.laddr, &mut syn);
        for _ in 0..8 {
            let packet = crate::net::packet::IpPacket {
                src: inc.faddr,
                dst: inc.laddr,
                tos: 0,
                ttl: 64,
                flow: 0,
                df: true,
                proto: 6,
                payload: syn.clone().into(),
            };
            let sent = w.call(0, |_, cx| cx.ip.output(packet));
            assert_eq!(sent, Ok(()));
            w.run(150);
        }
    });
}
