// SPDX-License-Identifier: BSD-2-Clause
//! What the names of a script stand for: constants of C, and fields of `struct tcp_info`.

use super::constants::CONSTANTS;
use crate::errno::Errno;
use crate::packetdrill::ast::Value;

/// `O_NONBLOCK`.
pub const O_NONBLOCK: i64 = 0x4;
/// `O_RDWR`.
pub const O_RDWR: i64 = 0x2;

/// The value of a name, or `None` where it is unknown.
pub fn constant(name: &str) -> Option<i64> {
    let found = CONSTANTS.binary_search_by(|(known, _)| (*known).cmp(name));
    match found.ok().and_then(|at| CONSTANTS.get(at)) {
        Some((_, value)) => Some(*value),
        None if name == "EWOULDBLOCK" => Some(i64::from(Errno::EWOULDBLOCK.raw())),
        None => Errno::from_name(name).map(|errno| i64::from(errno.raw())),
    }
}

/// A number as it stands in a script.
pub fn literal(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The number that a script's value stands for.
///
/// # Errors
/// The name that is unknown.
pub fn number(value: &Value) -> Result<i64, String> {
    match value {
        Value::Number(n) => Ok(*n),
        Value::Symbols(names) => names.iter().try_fold(0, |all, name| {
            literal(name)
                .or_else(|| constant(name))
                .map(|value| all | value)
                .ok_or_else(|| format!("unknown name {name}"))
        }),
    }
}

/// Bytes of `struct tcp_info` (`netinet/tcp.h`, 15.0).
pub const TCP_INFO_SIZE: usize = 256;

/// Fields of `struct tcp_info` that FreeBSD fills and that are words, with their places.
const WORDS: [(&str, usize); 27] = [
    ("tcpi_rto", 8),
    ("tcpi_snd_mss", 16),
    ("tcpi_rcv_mss", 20),
    ("tcpi_last_data_recv", 52),
    ("tcpi_rtt", 68),
    ("tcpi_rttvar", 72),
    ("tcpi_snd_ssthresh", 76),
    ("tcpi_snd_cwnd", 80),
    ("tcpi_rcv_space", 96),
    ("tcpi_snd_wnd", 100),
    ("tcpi_snd_bwnd", 104),
    ("tcpi_snd_nxt", 108),
    ("tcpi_rcv_nxt", 112),
    ("tcpi_toe_tid", 116),
    ("tcpi_snd_rexmitpack", 120),
    ("tcpi_rcv_ooopack", 124),
    ("tcpi_snd_zerowin", 128),
    ("tcpi_delivered_ce", 132),
    ("tcpi_received_ce", 136),
    ("tcpi_total_tlp", 164),
    ("tcpi_total_tlp_bytes", 168),
    ("tcpi_snd_una", 176),
    ("tcpi_snd_max", 180),
    ("tcpi_rcv_numsacks", 184),
    ("tcpi_rcv_adv", 188),
    ("tcpi_dupacks", 192),
    ("tcpi_rttmin", 196),
];

/// Whether an assertion may name this: a field of `tcp_info`, or a constant.
pub fn assertable(name: &str) -> bool {
    let bytes = matches!(
        name,
        "tcpi_state" | "tcpi_options" | "tcpi_snd_wscale" | "tcpi_rcv_wscale"
    );
    bytes || WORDS.iter().any(|(word, _)| *word == name) || constant(name).is_some()
}

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
    let (_, at) = WORDS.iter().find(|(word, _)| *word == field)?;
    let word = bytes.get(*at..at + 4)?;
    Some(i64::from(u32::from_le_bytes(word.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_is_found_by_its_name() {
        assert!(CONSTANTS.is_sorted_by(|a, b| a.0 < b.0));
        for (name, value) in CONSTANTS {
            assert_eq!(constant(name), Some(*value), "{name}");
        }
        assert_eq!(constant("SO_NOTHING"), None);
        assert_eq!(constant("ECONNRESET"), Some(54));
    }

    #[test]
    fn symbols_and_numbers_are_joined_bit_by_bit() {
        let joined = Value::Symbols(vec!["O_RDWR".into(), "O_NONBLOCK".into(), "64".into()]);
        assert_eq!(number(&joined), Ok(0x46));
    }
}
