// SPDX-License-Identifier: BSD-2-Clause
//! The C names that scripts use, with FreeBSD's values (`sys/socket.h`, `netinet/in.h`,
//! `netinet6/in6.h`, `netinet/tcp.h`, `netinet/ip.h`, `sys/fcntl.h`, 15.0).

use crate::errno::Errno;
use crate::packetdrill::ast::Value;

/// `O_NONBLOCK`.
pub const O_NONBLOCK: i64 = 0x4;
/// `O_RDWR`.
pub const O_RDWR: i64 = 0x2;

/// The value of a name, or `None` where it is unknown.
pub fn constant(name: &str) -> Option<i64> {
    let table = [
        ("AF_INET", 2),
        ("AF_INET6", 28),
        ("SOCK_STREAM", 1),
        ("SOCK_DGRAM", 2),
        ("SOCK_NONBLOCK", 0x2000_0000),
        ("IPPROTO_IP", 0),
        ("IPPROTO_TCP", 6),
        ("IPPROTO_UDP", 17),
        ("IPPROTO_IPV6", 41),
        ("SOL_SOCKET", 0xffff),
        ("SOL_TCP", 6),
        ("SO_REUSEADDR", 0x4),
        ("SO_KEEPALIVE", 0x8),
        ("SO_LINGER", 0x80),
        ("SO_OOBINLINE", 0x100),
        ("SO_REUSEPORT", 0x200),
        ("SO_SNDBUF", 0x1001),
        ("SO_RCVBUF", 0x1002),
        ("SO_SNDLOWAT", 0x1003),
        ("SO_RCVLOWAT", 0x1004),
        ("SO_SNDTIMEO", 0x1005),
        ("SO_RCVTIMEO", 0x1006),
        ("SO_ERROR", 0x1007),
        ("SO_TYPE", 0x1008),
        ("TCP_NODELAY", 1),
        ("TCP_MAXSEG", 2),
        ("TCP_NOPUSH", 4),
        ("TCP_NOOPT", 8),
        ("TCP_MD5SIG", 16),
        ("TCP_INFO", 32),
        ("TCP_CONGESTION", 64),
        ("TCP_KEEPINIT", 128),
        ("TCP_KEEPIDLE", 256),
        ("TCP_KEEPINTVL", 512),
        ("TCP_KEEPCNT", 1024),
        ("TCP_FASTOPEN", 1025),
        ("TCP_REMOTE_UDP_ENCAPS_PORT", 71),
        ("TCP_FUNCTION_BLK", 8192),
        ("TCP_RACK_PACE_ALWAYS", 1055),
        ("TCP_RACK_PACE_MAX_SEG", 1048),
        ("TCP_RACK_PACE_RATE_SS", 1074),
        ("IP_TOS", 3),
        ("IP_TTL", 4),
        ("IP_DONTFRAG", 67),
        ("IPV6_UNICAST_HOPS", 4),
        ("IPV6_TCLASS", 61),
        ("IPV6_USE_MIN_MTU", 42),
        ("IPV6_DONTFRAG", 62),
        ("MSG_OOB", 0x1),
        ("MSG_PEEK", 0x2),
        ("MSG_WAITALL", 0x40),
        ("MSG_DONTWAIT", 0x80),
        ("MSG_NOSIGNAL", 0x0002_0000),
        ("SHUT_RD", 0),
        ("SHUT_WR", 1),
        ("SHUT_RDWR", 2),
        ("F_GETFL", 3),
        ("F_SETFL", 4),
        ("O_RDONLY", 0),
        ("O_WRONLY", 1),
        ("O_RDWR", O_RDWR),
        ("O_NONBLOCK", O_NONBLOCK),
        ("IPTOS_DSCP_CS0", 0x00),
        ("IPTOS_DSCP_CS1", 0x20),
        ("IPTOS_DSCP_CS2", 0x40),
        ("IPTOS_DSCP_CS3", 0x60),
        ("IPTOS_DSCP_CS4", 0x80),
        ("IPTOS_DSCP_CS5", 0xa0),
        ("IPTOS_DSCP_CS6", 0xc0),
        ("IPTOS_DSCP_CS7", 0xe0),
        ("IPTOS_DSCP_EF", 0xb8),
        // tcp_fsm.h
        ("TCPI_CLOSED", 0),
        ("TCPI_LISTEN", 1),
        ("TCPI_SYN_SENT", 2),
        ("TCPI_SYN_RECEIVED", 3),
        ("TCPI_ESTABLISHED", 4),
        ("TCPI_CLOSE_WAIT", 5),
        ("TCPI_FIN_WAIT_1", 6),
        ("TCPI_CLOSING", 7),
        ("TCPI_LAST_ACK", 8),
        ("TCPI_FIN_WAIT_2", 9),
        ("TCPI_TIME_WAIT", 10),
        ("TCPI_OPT_TIMESTAMPS", 0x01),
        ("TCPI_OPT_SACK", 0x02),
        ("TCPI_OPT_WSCALE", 0x04),
        ("TCPI_OPT_ECN", 0x08),
        ("TCPI_OPT_TOE", 0x10),
        ("TCPI_OPT_TFO", 0x20),
    ];
    let found = table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value);
    found.or_else(|| Errno::from_name(name).map(|errno| i64::from(errno.raw())))
}

/// The number that a script's value stands for.
///
/// # Errors
/// The name that is unknown.
pub fn number(value: &Value) -> Result<i64, String> {
    match value {
        Value::Number(n) => Ok(*n),
        Value::Symbols(names) => names.iter().try_fold(0, |all, name| {
            constant(name)
                .map(|value| all | value)
                .ok_or_else(|| format!("unknown name {name}"))
        }),
        Value::Text(text) => Err(format!("a text, \"{text}\", where a number belongs")),
    }
}

/// Bytes of `struct tcp_info` (`netinet/tcp.h`, 15.0) as far as assertions may read.
pub const TCP_INFO_SIZE: usize = 236;

/// A field of `struct tcp_info`.
pub fn tcp_info(bytes: &[u8], field: &str) -> Option<i64> {
    let byte = |at: usize| bytes.get(at).copied().map(i64::from);
    match field {
        "tcpi_state" => return byte(0),
        "tcpi_options" => return byte(5),
        "tcpi_snd_wscale" => return byte(6).map(|b| b & 15),
        "tcpi_rcv_wscale" => return byte(6).map(|b| b >> 4),
        _ => {}
    }
    let words = [
        "tcpi_rto",
        "__tcpi_ato",
        "tcpi_snd_mss",
        "tcpi_rcv_mss",
        "__tcpi_unacked",
        "__tcpi_sacked",
        "__tcpi_lost",
        "__tcpi_retrans",
        "__tcpi_fackets",
        "__tcpi_last_data_sent",
        "__tcpi_last_ack_sent",
        "tcpi_last_data_recv",
        "__tcpi_last_ack_recv",
        "__tcpi_pmtu",
        "__tcpi_rcv_ssthresh",
        "tcpi_rtt",
        "tcpi_rttvar",
        "tcpi_snd_ssthresh",
        "tcpi_snd_cwnd",
        "__tcpi_advmss",
        "__tcpi_reordering",
        "__tcpi_rcv_rtt",
        "tcpi_rcv_space",
        "tcpi_snd_wnd",
        "tcpi_snd_bwnd",
        "tcpi_snd_nxt",
        "tcpi_rcv_nxt",
        "tcpi_toe_tid",
        "tcpi_snd_rexmitpack",
        "tcpi_rcv_ooopack",
        "tcpi_snd_zerowin",
    ];
    let index = words.iter().position(|word| *word == field)?;
    let at = 8 + 4 * index;
    let word = bytes.get(at..at + 4)?;
    Some(i64::from(u32::from_le_bytes(word.try_into().ok()?)))
}
