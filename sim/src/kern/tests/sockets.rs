// SPDX-License-Identifier: BSD-2-Clause
//! Socket calls that sleep, of programs that talk over the loopback.

use super::*;
use crate::net::socket::Inet;
use crate::net::vnet::Vnet;

/// Runs a program in the host's prison, which has a stack with a loopback.
fn run(source: &str) -> Run {
    let mut run = boot(1);
    let vnet = run.kern.prisons[&PrisonId::HOST].vnet;
    let stack = Vnet::new(1, "loopback", Inet::new);
    run.kern.vnets.insert(vnet, stack);
    run.install("/bin/test", source);
    run.spawn("/bin/test");
    let end = Instant::from_nanos(20_000_000_000);
    for _ in 0..SLICES_MAX {
        let next = run.kern.next_event().filter(|at| *at <= end);
        let net = run.kern.next_net_callout().filter(|at| *at <= end);
        let Some(at) = [next, net].into_iter().flatten().min() else {
            return run;
        };
        let now = at.max(run.kern.now);
        run.kern.run_net_callouts(now);
        run.kern.run_callouts(now, &mut NoHooks);
        while run.kern.run_slice(now, &mut NoHooks).is_some() {}
        run.collect();
        if run.kern.next_event().is_some() || !exits(&run).is_empty() {
            run.ended = run.kern.now;
        }
        if !exits(&run).is_empty() && run.kern.next_event().is_none() {
            return run;
        }
    }
    panic!("runs for ever");
}

#[test]
fn a_receive_gives_up_after_the_time_that_the_socket_says() {
    let run = run("
.data
here:   sockaddr_in 127.0.0.1:7000
span:   timespec 1 500000
buf:    space 16
.text
        sys socket AF_INET SOCK_DGRAM 0 -> r8
        sys bind r8 here here.len
        sys setsockopt r8 SOL_SOCKET 0x1006 span 16
        jerr bad
        sys recvfrom r8 buf 16 0 0 0
        jerr late
bad:    exit 1
late:   exit 0
");
    assert_eq!(exits(&run), [(0, 0)]);
    let over = run.ended.as_nanos() - 1_500_000_000;
    assert!(over < 1_000_000, "{over} ns more than asked for");
}

#[test]
fn a_receive_of_all_sleeps_until_the_last_byte_or_the_end() {
    let run = run("
.data
here:   sockaddr_in 127.0.0.1:7000
buf:    space 16
text:   string \"abcdefg\"
nap:    timespec 0 5000000
.text
        sys socket AF_INET SOCK_STREAM 0 -> r8
        sys bind r8 here here.len
        sys listen r8 5
        sys fork
        beq r1, 1, child
        sys accept r8 0 0 -> r9
        sys recvfrom r9 buf 5 0x40 0 0 -> r10
        sys write STDOUT buf r10
        sys recvfrom r9 buf 5 0x40 0 0 -> r10
        sys write STDOUT buf r10
        exit 0
child:  sys socket AF_INET SOCK_STREAM 0 -> r9
        sys connect r9 here here.len
        sys write r9 text 3
        sys nanosleep nap 0
        set r2 text
        add r2, r2, 3
        sys write r9 r2 4
        exit 0
");
    assert_eq!(run.out, "abcdefg");
    let parts: Vec<usize> = (run.trace.iter())
        .filter_map(|(_, item)| match item {
            TraceItem::Console { text, .. } => Some(text.len()),
            _ => None,
        })
        .collect();
    assert_eq!(parts, [5, 2]);
}

/// `kern_ioctl`, `soo_ioctl`, `pipe_ioctl`: the requests are FIONREAD, FIONBIO, FIOCLEX and FIODTYPE.
#[test]
fn an_ioctl_tells_of_pipes_and_sockets_and_is_refused_by_what_does_not_know_it() {
    let run = run("
.data
ends:   word 0 0
value:  word 7
text:   string \"abc\"
ok:     string \"ok\"
.text
        sys pipe2 ends 0
        ld32 r8, ends
        set r2 ends
        ld32 r9, [r2 + 4]
        sys write r9 text 3
        sys ioctl r8 0x4004667f value
        ld32 r3, value
        bne r3, 3, bad
        ; What is not copied out is not told.
        sys ioctl r8 0x4004667f 8
        bne r0, 14, bad
        sys ioctl r9 0x4004667a value
        bne r0, 25, bad
        sys ioctl 77 0x4004667f value
        bne r0, 9, bad
        ; No direction: no request at all.
        sys ioctl 77 0x667f value
        bne r0, 25, bad
        sys socket AF_INET SOCK_DGRAM 0 -> r8
        sys ioctl r8 0x8004667e value
        sys recvfrom r8 value 4 0 0 0
        bne r0, EAGAIN, bad
        sys ioctl r8 0x20006601 0
        sys fcntl r8 1 0
        bne r0, 1, bad
        sys ioctl r8 0x20006602 0
        sys fcntl r8 1 0
        bne r0, 0, bad
        print ok
        exit 0
bad:    exit 1
");
    assert_eq!((run.out.as_str(), exits(&run)), ("ok", vec![(0, 0)]));
}
