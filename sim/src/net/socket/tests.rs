// SPDX-License-Identifier: BSD-2-Clause
//! Calls and options of sockets on one host, which talks to itself over the loopback.

use std::net::{IpAddr, SocketAddr};

use super::bits::{SO_LINGER, SO_REUSEPORT_LB};
use super::{Domain, Inet, Pcb, Proto, RecvFlags, SendFlags, Shut};
use crate::errno::Errno;
use crate::net::cx::{Cx, SoError, SoId};
use crate::net::tcp::Timer;
use crate::net::vnet::Vnet;
use crate::time::Instant;

const SOL_SOCKET: i32 = 0xffff;
const IPPROTO_IP: i32 = 0;
const IPPROTO_TCP: i32 = 6;
const IPPROTO_IPV6: i32 = 41;
const IPV6_V6ONLY: i32 = 27;
const IPV6_USE_MIN_MTU: i32 = 42;

struct Host {
    vnet: Vnet<Inet>,
    now: Instant,
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Host {
    fn new() -> Self {
        Self {
            vnet: Vnet::new(1, "sockets", Inet::new),
            now: Instant::BOOT,
        }
    }

    fn with<R>(&mut self, call: impl FnOnce(&mut Inet, &mut Cx<'_>) -> R) -> R {
        self.vnet.with_transports(self.now, call)
    }

    fn socket(&mut self, domain: Domain, proto: Proto) -> SoId {
        self.with(|inet, cx| inet.socreate(cx, domain, proto))
            .unwrap()
    }

    fn sysctl(&mut self, name: &str, value: i64) -> Result<(), Errno> {
        self.with(|inet, cx| inet.sysctl_set(cx, name, value))
    }

    fn bind(&mut self, so: SoId, addr: &str) -> Result<(), Errno> {
        self.with(|inet, cx| inet.sobind(cx, so, at(addr)))
    }

    fn connect(&mut self, so: SoId, addr: &str) -> Result<(), Errno> {
        self.with(|inet, cx| inet.soconnect(cx, so, at(addr)))
    }

    fn set(&mut self, so: SoId, level: i32, name: i32, value: i32) -> Result<(), Errno> {
        let value = value.to_le_bytes();
        self.with(|inet, cx| inet.sosetopt(cx, so, level, name, &value))
    }

    fn get(&mut self, so: SoId, level: i32, name: i32) -> Result<i32, Errno> {
        let value = self.with(|inet, cx| inet.sogetopt(cx, so, level, name))?;
        super::int(&value)
    }

    fn listener(&mut self, domain: Domain, addr: &str) -> SoId {
        let so = self.socket(domain, Proto::Tcp);
        self.bind(so, addr).unwrap();
        self.with(|inet, cx| inet.solisten(cx, so, 5)).unwrap();
        so
    }

    /// Lets the loopback carry what there is, and no timer beyond it.
    fn settle(&mut self) {
        for _ in 0..50 {
            self.now = Instant::from_nanos(self.now.as_nanos() + 2_000);
            self.vnet.run_callouts(self.now);
        }
    }

    fn accept(&mut self, so: SoId) -> Result<SoId, SoError> {
        let accepted = self.with(|inet, cx| inet.soaccept(cx, so));
        accepted.map(|(new, _)| new)
    }

    fn maxseg(&self, so: SoId) -> u32 {
        match &self.vnet.transports().get(so).unwrap().pcb {
            Pcb::Tcp(tp) => tp.t_maxseg,
            _ => 0,
        }
    }
}

#[test]
fn a_socket_of_ipv6_has_mapped_addresses_only_where_it_asks_for_them() {
    let mut host = Host::new();
    let so = host.socket(Domain::Inet6, Proto::Udp);
    assert_eq!(host.get(so, IPPROTO_IPV6, IPV6_V6ONLY), Ok(1));
    let mapped = "[::ffff:127.0.0.1]:9";
    assert_eq!(host.connect(so, mapped), Err(Errno::EINVAL));
    assert_eq!(host.bind(so, mapped), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(host.set(so, IPPROTO_IPV6, IPV6_V6ONLY, 0), Ok(()));
    assert_eq!(host.bind(so, "[::1]:7"), Ok(()));
    let lost = "bound to IPv6 it has given IPv4 up";
    assert_eq!(host.connect(so, mapped), Err(Errno::EAFNOSUPPORT), "{lost}");
    let too_late = host.set(so, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    assert_eq!(too_late, Err(Errno::EINVAL));

    host.sysctl("net.inet6.ip6.v6only", 0).unwrap();
    let so = host.socket(Domain::Inet6, Proto::Udp);
    assert_eq!(host.connect(so, mapped), Ok(()));
}

#[test]
fn the_minimum_mtu_is_a_policy_of_three_values_and_shrinks_a_running_connection() {
    let mut host = Host::new();
    let listener = host.listener(Domain::Inet6, "[::1]:80");
    let so = host.socket(Domain::Inet6, Proto::Tcp);
    assert_eq!(host.get(so, IPPROTO_IPV6, IPV6_USE_MIN_MTU), Ok(-1));
    let two = host.set(so, IPPROTO_IPV6, IPV6_USE_MIN_MTU, 2);
    assert_eq!(two, Err(Errno::EINVAL));
    host.connect(so, "[::1]:80").unwrap();
    host.settle();
    let accepted = host.accept(listener).unwrap();
    assert!(host.maxseg(accepted) > 10_000);
    host.set(accepted, IPPROTO_IPV6, IPV6_USE_MIN_MTU, 0)
        .unwrap();
    assert!(host.maxseg(accepted) > 10_000, "never is not always");
    host.set(accepted, IPPROTO_IPV6, IPV6_USE_MIN_MTU, 1)
        .unwrap();
    assert_eq!(host.maxseg(accepted), 1220);
    assert_eq!(host.get(accepted, IPPROTO_IPV6, IPV6_USE_MIN_MTU), Ok(1));
}

#[test]
fn any_use_of_the_minimum_mtu_option_makes_the_syn_offer_no_more() {
    let mut host = Host::new();
    let so = host.socket(Domain::Inet6, Proto::Tcp);
    host.set(so, IPPROTO_IPV6, IPV6_USE_MIN_MTU, 0).unwrap();
    assert!(host.vnet.transports().get(so).unwrap().inp.minmtu);
}

#[test]
fn shutting_a_listener_down_fails_and_wakes_who_accepts_with_an_error_first() {
    let mut host = Host::new();
    let listener = host.listener(Domain::Inet, "127.0.0.1:80");
    let so = host.socket(Domain::Inet, Proto::Tcp);
    host.connect(so, "127.0.0.1:80").unwrap();
    host.settle();
    let shut = |host: &mut Host, how| host.with(|inet, cx| inet.soshutdown(cx, listener, how));
    assert_eq!(shut(&mut host, Shut::Wr), Err(Errno::ENOTCONN));
    assert_eq!(shut(&mut host, Shut::Rd), Err(Errno::ENOTCONN));
    let aborted = SoError::Errno(Errno::ECONNABORTED);
    assert_eq!(host.accept(listener), Err(aborted));
    assert!(
        host.accept(listener).is_ok(),
        "the connection is still there"
    );
}

#[test]
fn nowhere_is_not_this_host_unless_the_vnet_says_so() {
    let mut host = Host::new();
    for (domain, any, name) in [
        (Domain::Inet, "0.0.0.0:9", "net.inet.ip.connect_inaddr_wild"),
        (
            Domain::Inet6,
            "[::]:9",
            "net.inet6.ip6.connect_in6addr_wild",
        ),
    ] {
        for proto in [Proto::Tcp, Proto::Udp] {
            let so = host.socket(domain, proto);
            assert_eq!(host.connect(so, any), Err(Errno::ENETUNREACH));
        }
        host.sysctl(name, 1).unwrap();
        let so = host.socket(domain, Proto::Udp);
        assert_eq!(host.connect(so, any), Ok(()));
    }
}

#[test]
fn a_level_that_is_not_the_sockets_is_invalid_and_an_unknown_name_is_no_option() {
    let mut host = Host::new();
    let four = host.socket(Domain::Inet, Proto::Tcp);
    let six = host.socket(Domain::Inet6, Proto::Udp);
    assert_eq!(host.set(four, IPPROTO_IPV6, 4, 1), Err(Errno::EINVAL));
    assert_eq!(host.set(six, IPPROTO_IP, 4, 1), Err(Errno::EINVAL));
    assert_eq!(host.get(six, IPPROTO_TCP, 1), Err(Errno::EINVAL));
    assert_eq!(host.get(four, IPPROTO_TCP, 9999), Err(Errno::ENOPROTOOPT));
    assert_eq!(host.get(six, 17, 9999), Err(Errno::ENOPROTOOPT));
    // Two bits of so_options are not an option, and a socket does not make itself a listener.
    assert_eq!(host.set(four, SOL_SOCKET, 0xc, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(host.set(four, SOL_SOCKET, 2, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(host.get(four, SOL_SOCKET, 2), Ok(0));
}

#[test]
fn a_time_to_linger_out_of_range_is_out_of_the_domain() {
    let mut host = Host::new();
    let so = host.socket(Domain::Inet, Proto::Tcp);
    let value = [1_i32.to_le_bytes(), 65_536_i32.to_le_bytes()].concat();
    let set = host.with(|inet, cx| inet.sosetopt(cx, so, SOL_SOCKET, SO_LINGER as i32, &value));
    assert_eq!(set, Err(Errno::EDOM));
}

#[test]
fn the_timeouts_of_a_listener_are_those_of_what_it_accepts() {
    let mut host = Host::new();
    let listener = host.listener(Domain::Inet, "127.0.0.1:80");
    let value = [3_i64.to_le_bytes(), 0_i64.to_le_bytes()].concat();
    const SO_RCVTIMEO: i32 = 0x1006;
    host.with(|inet, cx| inet.sosetopt(cx, listener, SOL_SOCKET, SO_RCVTIMEO, &value))
        .unwrap();
    let so = host.socket(Domain::Inet, Proto::Tcp);
    host.connect(so, "127.0.0.1:80").unwrap();
    host.settle();
    let accepted = host.accept(listener).unwrap();
    let read = host.with(|inet, cx| inet.sogetopt(cx, accepted, SOL_SOCKET, SO_RCVTIMEO));
    assert_eq!(read, Ok(value));
}

#[test]
fn a_socket_of_a_load_balancing_group_cannot_connect() {
    let mut host = Host::new();
    let so = host.socket(Domain::Inet, Proto::Tcp);
    host.set(so, SOL_SOCKET, SO_REUSEPORT_LB as i32, 1).unwrap();
    assert_eq!(host.connect(so, "127.0.0.1:9"), Err(Errno::EOPNOTSUPP));
}

#[test]
fn a_port_comes_from_the_range_that_the_socket_and_the_vnet_say() {
    const IP_PORTRANGE: i32 = 19;
    let mut host = Host::new();
    host.sysctl("net.inet.ip.portrange.first", 20_000).unwrap();
    host.sysctl("net.inet.ip.portrange.last", 20_001).unwrap();
    let mut port = |range: i32| {
        let so = host.socket(Domain::Inet, Proto::Udp);
        host.set(so, IPPROTO_IP, IP_PORTRANGE, range).unwrap();
        assert_eq!(host.get(so, IPPROTO_IP, IP_PORTRANGE), Ok(range));
        let bound = host.bind(so, "0.0.0.0:0");
        bound.map(|()| host.vnet.transports().sockname(so).unwrap().port())
    };
    assert!((600..=1023).contains(&port(2).unwrap()));
    assert!((49_152..=65_535).contains(&port(1).unwrap()));
    let mut both = [port(0).unwrap(), port(0).unwrap()];
    both.sort_unstable();
    assert_eq!(both, [20_000, 20_001]);
    assert_eq!(port(0), Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn the_port_of_tunneled_tcp_is_the_kernels() {
    let mut host = Host::new();
    host.sysctl("net.inet.tcp.udp_tunneling_port", 9_811)
        .unwrap();
    let so = host.socket(Domain::Inet, Proto::Udp);
    assert_eq!(host.bind(so, "127.0.0.1:9811"), Err(Errno::EADDRINUSE));
    host.sysctl("net.inet.tcp.udp_tunneling_port", 0).unwrap();
    assert_eq!(host.bind(so, "127.0.0.1:9811"), Ok(()));
    let taken = host.sysctl("net.inet.tcp.udp_tunneling_port", 9_811);
    assert_eq!(taken, Err(Errno::EADDRINUSE));
    assert_eq!(host.vnet.transports().tunnel_port(), None);
}

#[test]
fn a_raw_socket_of_icmpv6_takes_the_types_that_its_filter_passes() {
    const ICMP6_FILTER: i32 = 18;
    let mut host = Host::new();
    let ping = host.socket(Domain::Inet6, Proto::Raw(58));
    // Only echo replies, type 129.
    let mut filter = [0_u8; 32];
    filter[129 / 8] = 1 << (129 % 8);
    host.with(|inet, cx| inet.sosetopt(cx, ping, 58, ICMP6_FILTER, &filter))
        .unwrap();
    let echo = [128, 0, 0, 0, 0, 1, 0, 1];
    let to: IpAddr = "::1".parse().unwrap();
    let sent = host.with(|inet, cx| {
        let to = Some(SocketAddr::new(to, 0));
        inet.sosend(cx, ping, &echo, SendFlags::default(), to)
    });
    assert_eq!(sent, Ok(8));
    host.settle();
    let mut kinds = Vec::new();
    while let Ok(got) = host.with(|inet, cx| inet.soreceive(cx, ping, 100, RecvFlags::default())) {
        kinds.push(got.data[0]);
    }
    assert_eq!(kinds, [129], "not its own request");
}

#[test]
fn a_raw_socket_without_a_filter_sees_the_request_that_the_kernel_answers() {
    let mut host = Host::new();
    let ping = host.socket(Domain::Inet6, Proto::Raw(58));
    let echo = [128, 0, 0, 0, 0, 1, 0, 1];
    let to = Some(at("[::1]:0"));
    host.with(|inet, cx| inet.sosend(cx, ping, &echo, SendFlags::default(), to))
        .unwrap();
    host.settle();
    let mut kinds = Vec::new();
    while let Ok(got) = host.with(|inet, cx| inet.soreceive(cx, ping, 100, RecvFlags::default())) {
        kinds.push(got.data[0]);
    }
    assert_eq!(kinds, [128, 129]);
}

#[test]
fn a_second_connect_says_where_the_first_is() {
    let mut host = Host::new();
    let listener = host.listener(Domain::Inet, "127.0.0.1:80");
    let so = host.socket(Domain::Inet, Proto::Tcp);
    assert_eq!(host.connect(so, "127.0.0.1:80"), Ok(()));
    assert_eq!(host.connect(so, "127.0.0.1:80"), Err(Errno::EALREADY));
    host.settle();
    assert_eq!(host.connect(so, "127.0.0.1:80"), Err(Errno::EISCONN));
    assert!(host.accept(listener).is_ok());
    let refused = host.socket(Domain::Inet, Proto::Tcp);
    host.connect(refused, "127.0.0.1:81").unwrap();
    host.settle();
    let error = host.with(|inet, _| inet.soconnected(refused));
    assert_eq!(error, Err(SoError::Errno(Errno::ECONNREFUSED)));
    let again = host.connect(refused, "127.0.0.1:80");
    assert_eq!(again, Err(Errno::ECONNREFUSED), "its connection is over");
}

#[test]
fn options_of_tcp_that_a_generic_kernel_lacks_say_so() {
    let mut host = Host::new();
    let so = host.socket(Domain::Inet, Proto::Tcp);
    const TCP_STATS: i32 = 33;
    const TCP_TXTLS_MODE: i32 = 40;
    const TCP_CONGESTION: i32 = 64;
    const TCP_CCALGOOPT: i32 = 65;
    let set = host.set(so, IPPROTO_TCP, TCP_STATS, 1);
    assert_eq!(set, Err(Errno::EOPNOTSUPP));
    let get = host.get(so, IPPROTO_TCP, TCP_CCALGOOPT);
    assert_eq!(get, Err(Errno::ENOENT));
    assert_eq!(host.get(so, IPPROTO_TCP, TCP_TXTLS_MODE), Ok(0));
    let mut name = |name: &[u8]| {
        host.with(|inet, cx| inet.sosetopt(cx, so, IPPROTO_TCP, TCP_CONGESTION, name))
    };
    assert_eq!(name(b""), Err(Errno::EINVAL));
    assert_eq!(name(b"vegas"), Err(Errno::ESRCH));
    assert_eq!(name(b"newreno"), Ok(()));
}

#[test]
fn an_attempt_to_a_mapped_address_has_no_time_to_connect_in() {
    let keep = |domain, addr: &str| {
        let mut host = Host::new();
        host.sysctl("net.inet6.ip6.v6only", 0).unwrap();
        let so = host.socket(domain, Proto::Tcp);
        host.connect(so, addr).unwrap();
        match &host.vnet.transports().get(so).unwrap().pcb {
            Pcb::Tcp(tp) => tp.t_timers[Timer::Keep as usize].is_some(),
            Pcb::Udp | Pcb::Raw => false,
        }
    };
    assert!(keep(Domain::Inet, "127.0.0.1:80"));
    assert!(keep(Domain::Inet6, "[::1]:80"));
    assert!(!keep(Domain::Inet6, "[::ffff:127.0.0.1]:80"));
}

/// `soo_ioctl`: `sbavail` less what is no data.
#[test]
fn what_there_is_to_read_counts_data_only_and_a_listener_has_nothing_to_tell() {
    let mut host = Host::new();
    let so = host.socket(Domain::Inet, Proto::Udp);
    host.bind(so, "127.0.0.1:9").unwrap();
    for text in [&b"abc"[..], b"", b"defgh"] {
        let flags = SendFlags::default();
        let to = Some(at("127.0.0.1:9"));
        host.with(|inet, cx| inet.sosend(cx, so, text, flags, to))
            .unwrap();
    }
    host.settle();
    let inet = host.vnet.transports();
    assert_eq!((inet.fionread(so), inet.fionwrite(so)), (Ok(8), Ok(0)));
    assert_eq!(inet.siocatmark(so), Ok(0));

    let listener = host.listener(Domain::Inet, "127.0.0.1:80");
    let inet = host.vnet.transports();
    let told = [
        inet.fionread(listener),
        inet.fionwrite(listener),
        inet.fionspace(listener),
        inet.siocatmark(listener),
    ];
    assert_eq!(told, [Err(Errno::EINVAL); 4]);
}

#[test]
fn a_send_buffer_below_what_it_holds_has_no_space() {
    let mut host = Host::new();
    let listener = host.listener(Domain::Inet, "127.0.0.1:80");
    let so = host.socket(Domain::Inet, Proto::Tcp);
    host.connect(so, "127.0.0.1:80").unwrap();
    host.settle();
    let _ = host.accept(listener).unwrap();
    // Not settled: nothing is acknowledged yet.
    let flags = SendFlags::default();
    let sent = host.with(|inet, cx| inet.sosend(cx, so, &[0; 20_000], flags, None));
    assert_eq!(sent, Ok(20_000));
    let before = host.vnet.transports().fionspace(so).unwrap();
    assert!(before > 0);
    host.set(so, SOL_SOCKET, 0x1001, 10_000).unwrap();
    let inet = host.vnet.transports();
    assert_eq!(
        (inet.fionwrite(so), inet.fionspace(so)),
        (Ok(20_000), Ok(0))
    );
}
