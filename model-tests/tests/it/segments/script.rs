// SPDX-License-Identifier: BSD-2-Clause
//! Scripts for single segments in every state: the way there, the segment, what must come of it by `spec`,
//! and a last segment that shows where the connection stands and that nothing else was sent.

use super::spec::{Death, Flags, Outcome, Reply, Rules, Segment, State, View, answer};
use std::fmt::Write as _;

/// Of which version of IP a script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Version {
    fn mss(self) -> u32 {
        match self {
            Version::V4 => 1460,
            Version::V6 => 1440,
        }
    }

    /// The receive buffer of 65,536 octets, in whole segments (`tcp_mss`, `tcp_input.c`).
    fn buffer(self) -> u32 {
        65_536_u32.next_multiple_of(self.mss())
    }
}

/// What a script is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) version: Version,
    pub(super) rules: Rules,
    pub(super) state: State,
    pub(super) segment: Segment,
}

/// Where things stand in a state, as `way` leads there.
pub(super) fn view(version: Version, state: State) -> View {
    let (rcv_nxt, snd_una, snd_nxt) = match state {
        State::Closed | State::Listen => (0, 0, 0),
        State::SynSent => (0, 0, 1),
        State::SynCached | State::SynReceived => (1, 0, 1),
        State::Established => (1, 1, 1),
        State::CloseWait => (2, 1, 1),
        State::FinWait1 => (1, 1, 2),
        State::FinWait2 => (1, 2, 2),
        State::Closing | State::LastAck => (2, 1, 2),
        State::TimeWait => (2, 2, 2),
    };
    View {
        state,
        rcv_nxt,
        rcv_wnd: match state {
            State::SynCached | State::Closed | State::Listen => 65_535,
            _ => version.buffer(),
        },
        snd_una,
        snd_nxt,
    }
}

/// Lines that lead to a state.
fn way(version: Version, state: State) -> String {
    let mss = version.mss();
    let options = format!("<mss {mss},sackOK,eol,eol>");
    let open = "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n";
    let bound = format!("{open}+0 bind(3, ..., ...) = 0\n");
    let listening = format!("{bound}+0 listen(3, 1) = 0\n");
    let syn_sent = format!(
        "{open}+0 fcntl(3, F_SETFL, O_RDWR | O_NONBLOCK) = 0\n\
         +0 connect(3, ..., ...) = -1 EINPROGRESS\n\
         +0 > S 0:0(0) win 65535 <mss {mss},nop,wscale 6,sackOK,TS val 100 ecr 0>\n"
    );
    let established = format!(
        "{syn_sent}+.1 < S. 0:0(0) ack 1 win 32767 {options}\n+0 > . 1:1(0) ack 1 win 65535\n"
    );
    let close_wait = "+.1 < F. 1:1(0) ack 1 win 32767\n+0 > . 1:1(0) ack 2 win 65535\n";
    let fin = |ack| format!("+.1 shutdown(3, SHUT_WR) = 0\n+0 > F. 1:1(0) ack {ack} win 65535\n");
    match state {
        State::Closed => bound,
        State::Listen => listening,
        State::SynSent => syn_sent,
        State::SynCached => format!(
            "{listening}+0 < S 0:0(0) win 32767 {options}\n+0 > S. 0:0(0) ack 1 win 65535 {options}\n"
        ),
        State::SynReceived => format!(
            "{syn_sent}+.1 < S 0:0(0) win 32767 {options}\n+0 > S. 0:0(0) ack 1 win 65535 {options}\n"
        ),
        State::Established => established,
        State::CloseWait => established + close_wait,
        State::FinWait1 => established + &fin(1),
        State::FinWait2 => established + &fin(1) + "+.1 < . 1:1(0) ack 2 win 32767\n",
        State::Closing => {
            established
                + &fin(1)
                + "+.1 < F. 1:1(0) ack 1 win 32767\n+0 > F. 1:1(0) ack 2 win 65535\n"
        }
        State::LastAck => established + close_wait + &fin(2),
        State::TimeWait => {
            established
                + &fin(1)
                + "+.1 < F. 1:1(0) ack 2 win 32767\n+0 > . 2:2(0) ack 2 win 65535\n"
        }
    }
}

fn letters(flags: Flags) -> String {
    let all = [
        (flags.fin, 'F'),
        (flags.syn, 'S'),
        (flags.rst, 'R'),
        (flags.ack, '.'),
    ];
    let some: String = all
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, c)| *c)
        .collect();
    if some.is_empty() { "-".into() } else { some }
}

impl Case {
    fn inbound(&self, at: &str, seg: Segment) -> String {
        let Segment {
            flags,
            seq,
            len,
            ack,
        } = seg;
        let mut line = format!(
            "{at} < {} {seq}:{}({len})",
            letters(flags),
            seq.wrapping_add(len)
        );
        if flags.ack {
            let _ = write!(line, " ack {ack}");
        }
        line += " win 32767";
        if flags.syn {
            let _ = write!(line, " <mss {},sackOK,eol,eol>", self.version.mss());
        }
        line + "\n"
    }

    fn outbound(&self, reply: Reply) -> String {
        let Reply {
            flags,
            seq,
            ack,
            sack,
        } = reply;
        // A reset of nobody's has its own number, not one of the connection.
        let absolute = if flags.rst && flags.ack && self.state == State::TimeWait {
            "!"
        } else {
            ""
        };
        let mut line = format!("+0 > {} {seq}:{seq}(0){absolute}", letters(flags));
        if flags.ack {
            let _ = write!(line, " ack {ack}");
        }
        line += if flags.rst { " win 0" } else { " win 65535" };
        if flags.syn {
            let _ = write!(line, " <mss {},sackOK,eol,eol>", self.version.mss());
        } else if let Some((from, to)) = sack {
            let _ = write!(line, " <nop,nop,sack {from}:{to}>");
        }
        line + "\n"
    }

    /// A segment whose answer tells a state from others, and the answer.
    fn probe(&self, outcome: &Outcome) -> Option<(Segment, Reply)> {
        let plain = Flags {
            syn: false,
            fin: false,
            rst: false,
            ack: true,
        };
        let stray = Segment {
            flags: plain,
            seq: 17,
            len: 0,
            ack: 34,
        };
        let Ok(after) = outcome.after else {
            return answer(view(self.version, State::Closed), self.rules, stray)
                .reply
                .map(|reply| (stray, reply));
        };
        let segment = match after.state {
            State::Closed => stray,
            State::Listen => Segment {
                flags: Flags {
                    syn: true,
                    ack: false,
                    ..plain
                },
                seq: 0,
                ..stray
            },
            State::SynSent => Segment {
                flags: Flags { syn: true, ..plain },
                seq: 0,
                len: 0,
                ack: 1,
            },
            _ => Segment {
                flags: plain,
                seq: after.rcv_nxt.wrapping_sub(1),
                len: 0,
                ack: after.snd_una.max(1),
            },
        };
        let mut reply = answer(after, self.rules, segment).reply?;
        // What waited is joined with the stream once the connection stands.
        reply.sack = outcome.unsaid;
        if let Some((_, to)) = outcome.queued.filter(|(from, _)| *from == after.rcv_nxt) {
            reply.ack = to;
        }
        Some((segment, reply))
    }

    /// The script.
    pub(super) fn script(&self) -> String {
        let Rules {
            insecure_rst,
            insecure_syn,
            drop_synfin,
        } = self.rules;
        let mut text = String::new();
        if self.version == Version::V6 {
            text += "--ip_version=ipv6\n";
        }
        text += "0 `sysctl -w net.inet.tcp.delayed_ack=0`\n";
        for (name, on) in [
            ("insecure_rst", insecure_rst),
            ("insecure_syn", insecure_syn),
            ("drop_synfin", drop_synfin),
        ] {
            if on {
                let _ = writeln!(text, "+0 `sysctl -w net.inet.tcp.{name}=1`");
            }
        }
        text += &way(self.version, self.state);
        let outcome = answer(view(self.version, self.state), self.rules, self.segment);
        text += &self.inbound("+.01", self.segment);
        if let Some(reply) = outcome.reply {
            text += &self.outbound(reply);
        }
        text += &self.fate(&outcome);
        let (segment, reply) = self.probe(&outcome).expect("every state can be probed");
        text += &self.inbound("+.01", segment);
        text + &self.outbound(reply)
    }

    /// What the program sees of it.
    fn fate(&self, outcome: &Outcome) -> String {
        let embryo = |state| matches!(state, State::Closed | State::Listen | State::SynCached);
        if embryo(self.state) {
            let cached = match outcome.after {
                Ok(after) => u32::from(after.state == State::SynCached),
                Err(_) => 0,
            };
            return match (self.state, outcome.after) {
                (State::SynCached, Ok(after)) if after.state != State::SynCached => {
                    let mut text = "+0 accept(3, ..., ...) = 4\n".to_owned();
                    if outcome.readable > 0 {
                        let _ = writeln!(text, "+0 read(4, ..., 100) = {}", outcome.readable);
                    }
                    text
                }
                (State::Closed, _) => String::new(),
                _ => format!("+0 `sockstat -P tcp -s | grep -c SYN_RCVD | grep {cached}`\n"),
            };
        }
        let errno = match outcome.after {
            Ok(_) | Err(Death::Done) => "0",
            Err(Death::Refused) => "ECONNREFUSED",
            Err(Death::Reset) => "ECONNRESET",
        };
        let mut text = String::new();
        let state = match outcome.after.map(|after| after.state) {
            Err(_) => "",
            Ok(State::SynSent) => "SYN_SENT",
            Ok(State::SynReceived) => "SYN_RECEIVED",
            Ok(State::Established) => "ESTABLISHED",
            Ok(State::CloseWait) => "CLOSE_WAIT",
            Ok(State::FinWait1) => "FIN_WAIT_1",
            Ok(State::FinWait2) => "FIN_WAIT_2",
            Ok(State::Closing) => "CLOSING",
            Ok(State::LastAck) => "LAST_ACK",
            Ok(State::TimeWait) => "TIME_WAIT",
            Ok(State::Closed | State::Listen | State::SynCached) => "",
        };
        let _ = writeln!(
            text,
            "+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [{errno}], [4]) = 0"
        );
        if !state.is_empty() {
            let _ = writeln!(text, "+0 %{{ assert tcpi_state == TCPI_{state} }}%");
        }
        if outcome.readable > 0 {
            let _ = writeln!(text, "+0 read(3, ..., 100) = {}", outcome.readable);
        }
        text
    }
}

/// Every segment that is worth a script in a state: all flags, numbers around the edges of the window and of what
/// was sent, with and without text.
pub(super) fn segments(view: View) -> Vec<Segment> {
    let seqs: Vec<u32> = match view.state {
        State::Closed | State::Listen => vec![17],
        State::SynSent => vec![0, 17],
        _ => {
            let right = view.rcv_nxt.wrapping_add(view.rcv_wnd);
            vec![
                view.rcv_nxt.wrapping_sub(1),
                view.rcv_nxt,
                view.rcv_nxt.wrapping_add(1000),
                right.wrapping_sub(1),
                right,
            ]
        }
    };
    let mut acks = vec![
        view.snd_una.wrapping_sub(1),
        view.snd_una,
        view.snd_nxt,
        view.snd_nxt + 1,
    ];
    acks.dedup();
    let mut all = Vec::new();
    for flags in Flags::all() {
        for &seq in &seqs {
            for len in [0, 3] {
                let acks = if flags.ack {
                    acks.as_slice()
                } else {
                    &acks[..1]
                };
                all.extend(acks.iter().map(|&ack| Segment {
                    flags,
                    seq,
                    len,
                    ack,
                }));
            }
        }
    }
    all
}
