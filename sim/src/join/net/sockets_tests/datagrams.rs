// SPDX-License-Identifier: BSD-2-Clause
//! Datagrams, raw sockets, fragments, and the errors that come back for them.

use super::*;

#[test]
fn datagrams_that_wait_are_received_with_their_senders() {
    invisible(&["datagrams", "error"], |w| {
        let server = w.socket(1, true, Proto::Udp);
        w.bind(server, "[::]:53".parse().unwrap());
        let clients = [false, true].map(|v6| w.socket(0, v6, Proto::Udp));
        for (n, client) in clients.into_iter().enumerate() {
            let v6 = n == 1;
            for size in [0, 1, 900] {
                w.send_to(client, &vec![n as u8; size], addr(1, 53, v6))
                    .unwrap();
            }
        }
        w.run(200);
        for _ in 0..3 {
            w.recv(server, 2_000).unwrap();
            w.run(5);
        }
        // A connected one hears that nobody is there.
        let lonely = w.socket(0, false, Proto::Udp);
        let nobody = addr(1, 54, false);
        w.ask(lonely, |inet, cx, so| inet.soconnect(cx, so, nobody))
            .unwrap();
        w.send(lonely, b"?").unwrap();
        w.run(200);
        let refused = w.send(lonely, b"?");
        assert_eq!(refused, Err(SoError::Errno(Errno::ECONNREFUSED)));
        for _ in 0..3 {
            w.recv(server, 2_000).unwrap();
        }
        assert!(w.recv(server, 9).is_err());
        w.close(server);
        w.run(100);
    });
}

#[test]
fn fragments_wait_for_the_rest_on_another_host() {
    let wanted = ["fragments of IPv4", "fragments of IPv6", "datagrams"];
    invisible(&wanted, |w| {
        w.link.jitter = 9_000;
        let server = w.socket(1, true, Proto::Udp);
        w.bind(server, "[::]:53".parse().unwrap());
        for v6 in [false, true] {
            let client = w.socket(0, v6, Proto::Udp);
            // So that the neighbour is known: few packets wait for that.
            w.send_to(client, b"first", addr(1, 53, v6)).unwrap();
            w.run(100);
            w.recv(server, 9).unwrap();
            for round in 0..4 {
                w.send_to(client, &[round; 7_000], addr(1, 53, v6)).unwrap();
            }
            w.run(200);
            for _ in 0..4 {
                assert_eq!(w.recv(server, 9_000).unwrap().len(), 7_000);
            }
            // Incomplete ones time out, with an error to the sender.
            w.link.loss = 400_000;
            for round in 0..6 {
                w.send_to(client, &[round; 7_000], addr(1, 53, v6)).unwrap();
            }
            w.run(100_000);
            w.link.loss = 0;
        }
    });
}

#[test]
fn a_raw_socket_keeps_what_it_heard() {
    invisible(&["datagrams"], |w| {
        let raw = w.socket(0, false, Proto::Raw(1));
        let echo = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
        for _ in 0..3 {
            w.send_to(raw, &echo, addr(1, 0, false)).unwrap();
        }
        w.run(100);
        for _ in 0..3 {
            assert_eq!(w.recv(raw, 99).unwrap()[20..22], [0, 0]);
        }
    });
}

#[test]
fn the_limit_on_errors_counts_on() {
    invisible(&["answers"], |w| {
        let client = w.socket(0, false, Proto::Udp);
        for _ in 0..2 {
            for port in 0..230 {
                let _refused_before = w.send_to(client, b"?", addr(1, 2_000 + port, false));
            }
            w.run(2_500);
        }
    });
}
