// SPDX-License-Identifier: BSD-2-Clause
//! What FreeBSD does with one segment, by the state of the connection that it is for: a table, written
//! from RFC 9293 section 3.10.7, RFC 5961 and RFC 2018/2883, and where FreeBSD goes its own way from
//! `tcp_input.c`, `tcp_timewait.c` and `tcp_syncache.c` (15-CURRENT).
//!
//! The connection is one of a script (see `script`): both sides count from 0, nothing but SACK was
//! agreed on, acknowledgements are not delayed, and the peer's window never changes.

/// Flags of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) ack: bool,
}

impl Flags {
    /// All sixteen.
    pub(super) fn all() -> impl Iterator<Item = Flags> {
        (0..16_u8).map(|bits| Flags {
            syn: bits & 1 != 0,
            fin: bits & 2 != 0,
            rst: bits & 4 != 0,
            ack: bits & 8 != 0,
        })
    }
}

/// A segment of the peer's; without the flag, `ack` means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) flags: Flags,
    pub(super) seq: u32,
    pub(super) len: u32,
    pub(super) ack: u32,
}

/// States of RFC 9293, and SYN-RECEIVED in its two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Listen,
    SynSent,
    /// An entry of the SYN cache.
    SynCached,
    /// A socket after a simultaneous open.
    SynReceived,
    Established,
    CloseWait,
    FinWait1,
    FinWait2,
    Closing,
    LastAck,
    TimeWait,
}

impl State {
    pub(super) const ALL: [State; 12] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynCached,
        State::SynReceived,
        State::Established,
        State::CloseWait,
        State::FinWait1,
        State::FinWait2,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    /// The peer's FIN has come.
    fn peer_closed(self) -> bool {
        matches!(
            self,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        )
    }

    /// This side's FIN is under way, and goes again with everything that `tcp_output` sends.
    fn repeats_fin(self) -> bool {
        matches!(self, State::FinWait1 | State::Closing | State::LastAck)
    }
}

/// What stands between the ends before the segment comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) state: State,
    pub(super) rcv_nxt: u32,
    pub(super) rcv_wnd: u32,
    pub(super) snd_una: u32,
    /// `snd_nxt`, which is `snd_max`.
    pub(super) snd_nxt: u32,
}

/// The sysctls of the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) insecure_rst: bool,
    pub(super) insecure_syn: bool,
    pub(super) drop_synfin: bool,
}

/// A segment of this side's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) flags: Flags,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// The block of a SACK option.
    pub(super) sack: Option<(u32, u32)>,
}

const ACK: Flags = Flags {
    syn: false,
    fin: false,
    rst: false,
    ack: true,
};
const RST: Flags = Flags {
    ack: false,
    rst: true,
    ..ACK
};

/// How a connection ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    Refused,
    Reset,
    /// As it should: the last FIN is acknowledged.
    Done,
}

/// What becomes of the connection, and what the peer hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) reply: Option<Reply>,
    /// Where the connection stands then.
    pub(super) after: Result<View, Death>,
    /// Text that waits for what precedes it, or for the connection to stand.
    pub(super) queued: Option<(u32, u32)>,
    /// What the next acknowledgement reports, and has not been reported: RFC 2883 has nothing to say of how long
    /// a report may wait.
    pub(super) unsaid: Option<(u32, u32)>,
    /// Octets that a program can read then.
    pub(super) readable: u32,
}

/// `a` lies before `b` on the circle.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl View {
    fn stays(self, reply: Option<Reply>) -> Outcome {
        Outcome {
            reply,
            after: Ok(self),
            queued: None,
            unsaid: None,
            readable: 0,
        }
    }

    fn dies(self, death: Death, reply: Option<Reply>) -> Outcome {
        Outcome {
            after: Err(death),
            ..self.stays(reply)
        }
    }

    /// `tcp_respond`: an acknowledgement that is no part of the stream.
    fn challenge(self) -> Reply {
        Reply {
            flags: ACK,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            sack: None,
        }
    }

    /// `tcp_output`: an acknowledgement that goes with what is to be said.
    pub(super) fn acknowledgement(self, sack: Option<(u32, u32)>) -> Reply {
        let fin = self.state.repeats_fin();
        let syn = self.state == State::SynReceived;
        Reply {
            flags: Flags { fin, syn, ..ACK },
            seq: self.snd_nxt - u32::from(fin || syn),
            ack: self.rcv_nxt,
            sack,
        }
    }

    fn in_window(self, seq: u32) -> bool {
        !before(seq, self.rcv_nxt) && before(seq, self.rcv_nxt.wrapping_add(self.rcv_wnd))
    }
}

/// The reset for a segment that nobody expects (RFC 9293 section 3.10.7.1).
fn reset(seg: Segment) -> Option<Reply> {
    let Flags { syn, fin, rst, ack } = seg.flags;
    let (flags, seq, number) = match (rst, ack) {
        (true, _) => return None,
        (_, true) => (RST, seg.ack, 0),
        _ => {
            let len = seg.len + u32::from(syn) + u32::from(fin);
            (Flags { ack: true, ..RST }, 0, seg.seq.wrapping_add(len))
        }
    };
    Some(Reply {
        flags,
        seq,
        ack: number,
        sack: None,
    })
}

/// What the segment does to the connection.
pub(super) fn answer(view: View, rules: Rules, seg: Segment) -> Outcome {
    let Flags { syn, fin, rst, ack } = seg.flags;
    if rules.drop_synfin && syn && fin {
        // A listener looks at RST and ACK first.
        let dropped = match view.state {
            State::Closed => false,
            State::Listen | State::SynCached => !rst && !ack,
            _ => true,
        };
        if dropped {
            return view.stays(None);
        }
    }
    match view.state {
        State::Closed => view.stays(reset(seg)),
        State::Listen => listen(view, seg),
        State::SynSent => syn_sent(view, seg),
        State::SynCached => syn_cached(view, rules, seg),
        State::TimeWait => time_wait(view, seg),
        _ => synchronized(view, rules, seg),
    }
}

/// RFC 9293 section 3.10.7.2. A SYN with an acknowledgement is passed over in silence, which is not what
/// the RFC says, but what FreeBSD's suite holds (`rcv-syn-ack-listen`).
fn listen(view: View, seg: Segment) -> Outcome {
    let Flags { syn, rst, ack, .. } = seg.flags;
    match (rst, syn, ack) {
        (true, ..) | (_, true, true) | (_, false, false) => view.stays(None),
        (_, false, true) => view.stays(reset(seg)),
        (_, true, false) => {
            let cached = View {
                state: State::SynCached,
                rcv_nxt: seg.seq.wrapping_add(1),
                snd_nxt: 1,
                ..view
            };
            cached.stays(Some(syn_ack(cached)))
        }
    }
}

fn syn_ack(view: View) -> Reply {
    Reply {
        flags: Flags { syn: true, ..ACK },
        seq: 0,
        ack: view.rcv_nxt,
        sack: None,
    }
}

/// RFC 9293 section 3.10.7.3.
fn syn_sent(view: View, seg: Segment) -> Outcome {
    let Flags { syn, fin, rst, ack } = seg.flags;
    if ack && seg.ack != 1 {
        return view.stays(reset(seg));
    }
    match (rst, ack, syn) {
        (true, true, _) => view.dies(Death::Refused, None),
        (true, false, _) | (false, _, false) => view.stays(None),
        (false, true, true) => {
            let after = View {
                state: if fin {
                    State::CloseWait
                } else {
                    State::Established
                },
                rcv_nxt: seg.seq.wrapping_add(1 + seg.len + u32::from(fin)),
                snd_una: 1,
                ..view
            };
            Outcome {
                readable: seg.len,
                ..after.stays(Some(after.acknowledgement(None)))
            }
        }
        (false, false, true) => {
            // Text waits in the queue until the connection stands; a FIN with it is forgotten (tcp_reass.c).
            let after = View {
                state: State::SynReceived,
                rcv_nxt: seg.seq.wrapping_add(1),
                ..view
            };
            Outcome {
                queued: (seg.len > 0).then(|| (after.rcv_nxt, after.rcv_nxt.wrapping_add(seg.len))),
                ..after.stays(Some(syn_ack(after)))
            }
        }
    }
}

/// `syncache_chkrst`, `syncache_expand`, `syncache_add`.
fn syn_cached(view: View, rules: Rules, seg: Segment) -> Outcome {
    let Flags { syn, rst, ack, .. } = seg.flags;
    if rst {
        return match seg.seq == view.rcv_nxt {
            true => view.dies(Death::Done, None),
            false if !view.in_window(seg.seq) => view.stays(None),
            false if rules.insecure_rst => view.dies(Death::Done, None),
            false => view.stays(Some(view.challenge())),
        };
    }
    match (syn, ack) {
        (true, true) => view.dies(Death::Done, None),
        (true, false) => view.stays(Some(syn_ack(view))),
        (false, false) => view.stays(None),
        (false, true) => {
            let past = view.rcv_nxt.wrapping_add(view.rcv_wnd);
            if before(seg.seq, view.rcv_nxt) || !before(seg.seq, past) {
                return view.stays(Some(view.challenge()));
            }
            if seg.ack != view.snd_nxt {
                return view.stays(reset(seg));
            }
            let connected = View {
                state: State::Established,
                snd_una: 1,
                ..view
            };
            receive(connected, seg, None, false)
        }
    }
}

/// RFC 9293 section 3.10.7.4 with RFC 5961's answers to what may be forged.
fn synchronized(view: View, rules: Rules, seg: Segment) -> Outcome {
    let Flags { syn, rst, ack, .. } = seg.flags;
    let opening = view.state == State::SynReceived;
    if opening && ack && !rst && seg.ack != view.snd_nxt {
        return view.stays(reset(seg));
    }
    if rst {
        let exact = seg.seq == view.rcv_nxt;
        let death = if opening {
            Death::Refused
        } else {
            Death::Reset
        };
        return match view.in_window(seg.seq) {
            false => view.stays(None),
            true if exact || rules.insecure_rst => view.dies(death, None),
            true => view.stays(Some(view.challenge())),
        };
    }
    if syn && !opening {
        if rules.insecure_syn && view.in_window(seg.seq) {
            let parting = Reply {
                flags: Flags { ack: true, ..RST },
                ..view.challenge()
            };
            return view.dies(Death::Reset, Some(parting));
        }
        return view.stays(Some(view.challenge()));
    }
    trimmed(view, seg)
}

/// Cuts the segment to the window, and says what was cut.
fn trimmed(view: View, mut seg: Segment) -> Outcome {
    let (mut owed, mut twice) = (false, None);
    if view.state == State::SynReceived && before(seg.seq, view.rcv_nxt.wrapping_sub(1)) {
        return view.stays(reset(seg));
    }
    let old = view.rcv_nxt.wrapping_sub(seg.seq);
    if before(seg.seq, view.rcv_nxt) {
        let mut cut = old;
        if seg.flags.syn {
            seg.flags.syn = false;
            seg.seq = seg.seq.wrapping_add(1);
            cut -= 1;
        }
        if cut > seg.len || (cut == seg.len && !seg.flags.fin) {
            seg.flags.fin = false;
            owed = true;
            cut = seg.len;
        }
        if cut > 0 {
            twice = Some((seg.seq, seg.seq.wrapping_add(cut)));
            owed = true;
        }
        seg.seq = seg.seq.wrapping_add(cut);
        seg.len -= cut;
    }
    let end = seg.seq.wrapping_add(seg.len);
    let right = view.rcv_nxt.wrapping_add(view.rcv_wnd);
    if before(right, end) {
        let cut = end.wrapping_sub(right);
        if cut >= seg.len {
            return view.stays(Some(view.acknowledgement(twice)));
        }
        seg.len -= cut;
        seg.flags.fin = false;
    }
    receive(view, seg, twice, owed)
}

/// Acknowledgement, text and FIN of a segment that lies in the window. `twice` is what was cut off as known,
/// `owed` that an acknowledgement is.
fn receive(view: View, seg: Segment, twice: Option<(u32, u32)>, mut owed: bool) -> Outcome {
    let mut after = view;
    if seg.flags.ack {
        if after.state == State::SynReceived {
            after.state = State::Established;
            after.snd_una = 1;
        } else if before(seg.ack, 1) {
            // RFC 5961 section 5.2: older than the connection.
            return Outcome {
                unsaid: twice,
                ..view.stays(Some(view.challenge()))
            };
        } else if before(view.snd_nxt, seg.ack) {
            // RFC 9293 section 3.10.7.4: of what was never sent. The answer goes through `tcp_output`, which repeats
            // a FIN (`dropafterack` in `tcp_do_segment`, 15-CURRENT of 2025).
            return view.stays(Some(view.acknowledgement(twice)));
        } else if seg.ack == view.snd_nxt && view.snd_una != view.snd_nxt {
            after.snd_una = seg.ack;
            after.state = match view.state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => return view.dies(Death::Done, None),
                other => other,
            };
            if after.state == State::TimeWait {
                // Nothing more in it counts (tcp_twstart).
                return after.stays(owed.then(|| after.acknowledgement(twice)));
            }
        }
    } else if after.state != State::SynReceived {
        return view.stays(owed.then(|| view.acknowledgement(twice)));
    }
    let mut sack = twice;
    let (mut queued, mut readable) = (None, 0);
    if !view.state.peer_closed() && (seg.len > 0 || seg.flags.fin) {
        owed = true;
        let end = seg.seq.wrapping_add(seg.len);
        let standing = after.state != State::SynReceived;
        if seg.seq == view.rcv_nxt && standing {
            after.rcv_nxt = end;
            readable = seg.len;
        } else if seg.len > 0 {
            queued = Some((seg.seq, end));
            sack = queued.filter(|_| standing);
        }
        if seg.seq == view.rcv_nxt && standing && seg.flags.fin {
            after.rcv_nxt = after.rcv_nxt.wrapping_add(1);
            after.state = match after.state {
                State::Established => State::CloseWait,
                State::FinWait1 => State::Closing,
                State::FinWait2 => State::TimeWait,
                other => other,
            };
        }
    }
    let standing = after.state != State::SynReceived;
    let waits = queued.filter(|_| standing).or(twice);
    Outcome {
        reply: owed.then(|| after.acknowledgement(sack.filter(|_| standing))),
        after: Ok(after),
        queued,
        unsaid: if standing { queued } else { waits },
        readable,
    }
}

/// `tcp_twcheck`, for a connection whose program has no listener.
fn time_wait(view: View, seg: Segment) -> Outcome {
    let Flags {
        syn,
        fin: _,
        rst,
        ack,
    } = seg.flags;
    match (rst, syn, ack) {
        (true, ..) => view.stays(None),
        // RFC 9293 section 3.10.7.4 lets a later SYN open the connection anew: here it meets a closed port.
        (_, true, false) if before(view.rcv_nxt, seg.seq) => view.dies(Death::Done, reset(seg)),
        (_, _, false) => view.stays(None),
        _ => {
            let plain = !syn && !seg.flags.fin && seg.len == 0;
            let known = seg.seq == view.rcv_nxt && seg.ack == view.snd_nxt;
            view.stays((!plain || !known).then(|| view.acknowledgement(None)))
        }
    }
}
