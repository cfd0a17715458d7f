// SPDX-License-Identifier: BSD-2-Clause
//! TCP options as a script writes them: what [`super::option_syntax`] reads.

use super::ast::{Tcp, TcpOption};
use super::option_syntax::{
    ACC_ECN_0, ACC_ECN_0_EXID, ACC_ECN_1, ACC_ECN_1_EXID, COUNTERS_0, COUNTERS_1, EXPERIMENTAL,
    MD5, TARR_EXID,
};
use std::fmt::Write as _;

/// An option of a segment.
pub(super) fn option(option: &TcpOption, tcp: &Tcp) -> String {
    match option {
        TcpOption::Nop => "nop".into(),
        TcpOption::Eol => "eol".into(),
        TcpOption::Mss(mss) => format!("mss {mss}"),
        TcpOption::Wscale(shift) => format!("wscale {shift}"),
        TcpOption::SackPermitted => "sackOK".into(),
        TcpOption::Sack(blocks) if blocks.is_empty() => "gen-5".into(),
        TcpOption::Sack(blocks) => {
            let blocks: Vec<String> = blocks.iter().map(|(l, r)| format!("{l}:{r}")).collect();
            format!("sack {}", blocks.join(" "))
        }
        TcpOption::Timestamp { val, ecr } => {
            let val = match tcp.ts_val_any {
                true => "...".to_owned(),
                false => val.to_string(),
            };
            let end = if tcp.ts_ecr_absolute { "!" } else { "" };
            format!("TS val {val} ecr {ecr}{end}")
        }
        TcpOption::FastOpen(cookie) => with("FO", cookie),
        TcpOption::FastOpenExperimental(cookie) => with("exp-FO", cookie),
        TcpOption::Md5 { valid: true } => "md5 valid".into(),
        TcpOption::Md5 { valid: false } => "md5 invalid".into(),
        TcpOption::Raw(kind, payload) => {
            named(*kind, payload).unwrap_or_else(|| with(&format!("gen-{kind}"), payload))
        }
        TcpOption::Blob(bytes) => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn with(name: &str, bytes: &[u8]) -> String {
    format!("{name} {}", hex(bytes)).trim_end().to_owned()
}

/// What the dialect has a name for though it is compared by its bytes.
fn named(kind: u8, payload: &[u8]) -> Option<String> {
    match (kind, payload) {
        (MD5, payload) if payload.len() == 16 => Some(with("md5", payload)),
        (ACC_ECN_0, payload) => counters("AccECN0", COUNTERS_0, payload),
        (ACC_ECN_1, payload) => counters("AccECN1", COUNTERS_1, payload),
        (EXPERIMENTAL, [high, low, payload @ ..]) => {
            let id = u16::from_be_bytes([*high, *low]);
            let known = match (id, payload) {
                (ACC_ECN_0_EXID, payload) => counters("exp-AccECN0", COUNTERS_0, payload),
                (ACC_ECN_1_EXID, payload) => counters("exp-AccECN1", COUNTERS_1, payload),
                (TARR_EXID, []) => Some("exp-tarr".to_owned()),
                (TARR_EXID, [rate]) if rate % 2 == 0 => Some(format!("exp-tarr {}", rate >> 1)),
                _ => None,
            };
            Some(known.unwrap_or_else(|| with(&format!("exp-{id:04x}"), payload)))
        }
        _ => None,
    }
}

/// Counters of 24 bits each.
fn counters(name: &str, names: [&str; 3], payload: &[u8]) -> Option<String> {
    let (counts, []) = payload.as_chunks::<3>() else {
        return None;
    };
    if counts.len() > names.len() {
        return None;
    }
    let all = names.iter().zip(counts);
    let all =
        all.map(|(name, [a, b, c])| format!(" {name} {}", u32::from_be_bytes([0, *a, *b, *c])));
    Some(name.to_owned() + &all.collect::<String>())
}
