// SPDX-License-Identifier: BSD-2-Clause
//! Streams over a link with faults: whole and in order, or an error is reported.

use super::*;

/// Byte `n` of the test stream of a direction.
fn byte(dir: usize, n: usize) -> u8 {
    (n.wrapping_mul(31) ^ n >> 8 ^ dir.wrapping_mul(0x55)) as u8
}

/// Sends `size` bytes both ways and closes; the time it took.
fn transfer(seed: u64, faults: Faults, size: usize, v6: bool) -> Duration {
    let mut net = Net::new(seed);
    net.keep_log = false;
    let listener = net.listener(1, 80, v6);
    net.faults = faults;
    let client = net.connect(0, 80, v6);
    let began = net.now;
    let mut ends = [Some(client), None];
    let (mut sent, mut got) = ([0; 2], [0; 2]);
    let mut eof = [false; 2];
    let deadline = net.now.after(Duration::from_secs(1800));
    while !(eof[0] && eof[1]) {
        assert!(
            net.step(deadline),
            "stuck: sent {sent:?} got {got:?} seed {seed}"
        );
        if ends[1].is_none() {
            ends[1] = net.accept(1, listener).ok();
        }
        for (host, end) in ends.into_iter().enumerate() {
            let Some(so) = end else { continue };
            while sent[host] < size {
                let end = size.min(sent[host] + 5000);
                let chunk: Vec<u8> = (sent[host]..end).map(|n| byte(host, n)).collect();
                match net.send(host, so, &chunk) {
                    Ok(n) => sent[host] += n,
                    Err(SoError::Errno(Errno::EWOULDBLOCK | Errno::ENOTCONN)) => break,
                    Err(e) => panic!("send: {e:?} seed {seed}"),
                }
                if sent[host] == size {
                    let wr = crate::net::socket::Shut::Wr;
                    net.call(host, |inet, cx| inet.soshutdown(cx, so, wr))
                        .unwrap();
                }
            }
            while !eof[host] {
                match net.recv(host, so, 7000) {
                    Ok(data) if data.is_empty() => eof[host] = true,
                    Ok(data) => {
                        for b in data {
                            assert_eq!(
                                b,
                                byte(1 - host, got[host]),
                                "at {} seed {seed}",
                                got[host]
                            );
                            got[host] += 1;
                        }
                    }
                    Err(SoError::Errno(Errno::EWOULDBLOCK)) => break,
                    Err(e) => panic!("recv: {e:?} seed {seed}"),
                }
            }
        }
    }
    assert_eq!(got, [size; 2]);
    let took = net.now.since(began);
    for (host, end) in ends.into_iter().enumerate() {
        net.close(host, end.unwrap());
    }
    net.close(1, listener);
    net.faults = Faults::default();
    net.run(Duration::from_secs(2000));
    assert_eq!(
        net.hosts[0].inet.iter().count() + net.hosts[1].inet.iter().count(),
        0
    );
    assert_eq!(net.next(), None);
    took
}

#[test]
fn a_sound_link_is_used_well() {
    let took = transfer(1, Faults::default(), 1_000_000, false);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn loss_is_repaired() {
    for seed in 0..20 {
        let faults = Faults {
            loss: 30_000,
            ..Faults::default()
        };
        transfer(seed, faults, 200_000, seed % 2 == 1);
    }
}

#[test]
fn heavy_loss_is_repaired() {
    for seed in 0..10 {
        transfer(
            seed,
            Faults {
                loss: 200_000,
                ..Faults::default()
            },
            20_000,
            false,
        );
    }
}

#[test]
fn reordering_and_duplicates_are_sorted_out() {
    for seed in 0..20 {
        let faults = Faults {
            dup: 50_000,
            jitter: Duration::from_millis(15),
            ..Faults::default()
        };
        transfer(seed, faults, 100_000, false);
    }
}

#[test]
fn corruption_is_caught_by_the_checksum() {
    for seed in 0..10 {
        let faults = Faults {
            corrupt: 20_000,
            loss: 10_000,
            dup: 10_000,
            jitter: Duration::from_millis(5),
        };
        transfer(seed, faults, 100_000, false);
    }
}
