// SPDX-License-Identifier: BSD-2-Clause
//! Data on links that lose, repeat and reorder, against windows that close.

use super::*;

/// Sends `size` bytes each way over whatever the link does, and reads them in bites.
fn exchange(w: &mut World, v6: bool, size: usize) {
    let listener = w.listener(1, 80, 5);
    let client = w.connect(0, addr(1, 80, v6));
    w.run(5_000);
    let server = w.accept(listener).unwrap();
    let bytes: Vec<u8> = (0..size).map(|n| (n * 7 + n / 251) as u8).collect();
    let mut sent = [0, 0];
    let mut got = [Vec::new(), Vec::new()];
    for _ in 0..4_000 {
        for (n, so) in [client, server].into_iter().enumerate() {
            let rest = &bytes[sent[n]..];
            if !rest.is_empty()
                && let Ok(taken) = w.send(so, &rest[..rest.len().min(16_000)])
            {
                sent[n] += taken;
            }
            if let Ok(more) = w.recv(so, 9_000) {
                got[n].extend(more);
            }
        }
        if got.iter().all(|got| got.len() >= size) {
            break;
        }
        w.run(40);
    }
    for got in &got {
        assert_eq!(got, &bytes);
    }
    w.close(client);
    w.run(50);
    w.close(server);
    w.run(200_000);
}

#[test]
fn a_lossy_link_is_mended_by_whoever_is_there() {
    let wanted = [
        "segq",
        "two holes",
        "scoreboard",
        "Rexmt",
        "Delack",
        "FIN_WAIT_1",
    ];
    invisible(&wanted, |w| {
        w.link.loss = 80_000;
        exchange(w, false, 30_000);
    });
}

#[test]
fn reordering_and_repetition_are_sorted_out_across_moves() {
    invisible(&["segq", "two holes", "scoreboard"], |w| {
        w.link.jitter = 15_000;
        w.link.repeat = 100_000;
        w.link.loss = 10_000;
        exchange(w, true, 30_000);
    });
}

#[test]
fn without_sack_or_timestamps_it_works_too() {
    invisible(&["segq", "Rexmt", "timed segment"], |w| {
        for host in [0, 1] {
            w.sysctl(host, "net.inet.tcp.sack.enable", 0);
            w.sysctl(host, "net.inet.tcp.rfc1323", 0);
        }
        w.link.loss = 60_000;
        w.link.jitter = 3_000;
        exchange(w, false, 20_000);
    });
}

#[test]
fn a_fin_that_comes_too_early_waits() {
    invisible(&["FIN out of order"], |w| {
        let listener = w.listener(1, 80, 5);
        let (client, server) = pair(w, listener, false);
        w.send(client, &[1; 1_000]).unwrap();
        w.run(200);
        // Its last segment is lost, the FIN is not.
        w.link.cut = true;
        w.send(client, &[2; 1_000]).unwrap();
        w.link.cut = false;
        w.close(client);
        w.run(1_000);
        assert_eq!(w.recv(server, 9_000).unwrap().len(), 2_000);
        assert_eq!(w.recv(server, 9_000), Ok(Vec::new()));
        w.close(server);
        w.run(70_000);
    });
}

#[test]
fn a_closed_window_is_probed_until_it_opens() {
    invisible(&["Persist", "unread"], |w| {
        let listener = w.listener(1, 80, 5);
        w.setopt(listener, 0xffff, 0x1002, 6_000);
        let (client, server) = pair(w, listener, false);
        let mut sent = 0;
        while let Ok(taken) = w.send(client, &[9; 5_000]) {
            sent += taken;
            w.run(20);
        }
        w.run(40_000);
        let mut got = 0;
        for _ in 0..400 {
            got += w.recv(server, 2_000).map_or(0, |bytes| bytes.len());
            w.run(30);
        }
        assert_eq!(got, sent);
        // Reading is shut: what comes still is acknowledged and gone.
        w.shut(server, Shut::Rd).unwrap();
        w.send(client, &[3; 3_000]).unwrap();
        w.run(500);
    });
}

#[test]
fn urgent_data_keeps_its_place() {
    invisible(&["urgent byte", "mark"], |w| {
        let listener = w.listener(1, 80, 5);
        let (client, server) = pair(w, listener, false);
        let oob = SendFlags {
            oob: true,
            ..SendFlags::default()
        };
        w.send(client, b"ab").unwrap();
        w.ask(client, |inet, cx, so| inet.sosend(cx, so, b"!", oob, None))
            .unwrap();
        w.send(client, b"cd").unwrap();
        w.run(300);
        assert_eq!(w.recv(server, 9).unwrap(), b"ab");
        let urgent = RecvFlags {
            oob: true,
            ..RecvFlags::default()
        };
        w.ask(server, |inet, cx, so| inet.soreceive(cx, so, 1, urgent))
            .unwrap();
        assert_eq!(w.recv(server, 9).unwrap(), b"cd");
    });
}

#[test]
fn both_ends_on_one_host_move_together() {
    invisible(&["loopback", "ESTABLISHED", "TIME_WAIT"], |w| {
        let listener = w.listener(1, 80, 5);
        let own: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let client = w.connect(1, own);
        w.run(100);
        let server = w.accept(listener).unwrap();
        w.send(client, &[4; 30_000]).unwrap();
        w.run(500);
        assert_eq!(w.recv(server, 50_000).unwrap().len(), 30_000);
        w.close(client);
        w.run(50);
        w.close(server);
        w.run(70_000);
    });
}

#[test]
fn signed_segments_are_signed_on() {
    invisible(&["ESTABLISHED"], |w| {
        for host in [0, 1] {
            let pair = |a, b| (ip(a, false), ip(b, false));
            w.call(host, |inet, _| {
                let keys = &mut inet.tcp.md5_keys.by_pair;
                keys.insert(pair(0, 1), b"there".to_vec());
                keys.insert(pair(1, 0), b"back".to_vec());
            });
        }
        let listener = w.socket(1, false, Proto::Tcp);
        w.setopt(listener, 6, 16, 1);
        w.bind(listener, addr(1, 179, false));
        w.ask(listener, |inet, cx, so| inet.solisten(cx, so, 1))
            .unwrap();
        let client = w.socket(0, false, Proto::Tcp);
        w.setopt(client, 6, 16, 1);
        let to = addr(1, 179, false);
        w.ask(client, |inet, cx, so| inet.soconnect(cx, so, to))
            .unwrap();
        w.run(300);
        let server = w.accept(listener).unwrap();
        w.send(client, b"signed").unwrap();
        w.run(300);
        assert_eq!(w.recv(server, 9).unwrap(), b"signed");
    });
}
