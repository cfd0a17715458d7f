// SPDX-License-Identifier: BSD-2-Clause
//! The kinds of events of a script, one function each.

use super::calls;
use super::flow::Flow;
use super::judge::TimestampRule;
use super::stack::Stack;
use super::written::{self, Written};
use super::{
    FOREVER, Failure, PATIENCE, Run, Sleeping, UPTIME, Way, assert, icmp, judge, names, userland,
};
use crate::errno::Errno;
use crate::packetdrill::ast::{
    Action, Arg, Assertion, Body, Direction, Event, Packet, Syscall, Time,
};
use crate::packetdrill::wire::{Datagram, Frame, FrameBody};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// The first port of the script's side where the stack is the one connected to.
const REMOTE_PORT_MIN: u16 = 49_152;

impl<'a, S: Stack> Run<'a, '_, S> {
    pub(super) fn event(&mut self, event: &'a Event) -> Result<(), Failure> {
        match &event.action {
            Action::Packet(packet) => match packet.direction {
                Direction::In => {
                    self.wait_for(event)?;
                    self.inject(event.line, packet)
                }
                Direction::Out => self.expect(event, packet),
            },
            Action::Syscall(call) => {
                self.finish_call()?;
                self.wait_for(event)?;
                self.begin_call(event, call)
            }
            Action::Command(command) => {
                self.wait_for(event)?;
                self.command(event.line, command)
            }
            Action::Code(assertions) => {
                self.wait_for(event)?;
                assertions
                    .iter()
                    .try_for_each(|assertion| self.assert(event.line, assertion))
            }
        }
    }

    pub(super) fn command(&mut self, line: usize, command: &str) -> Result<(), Failure> {
        if let Some(seconds) = command.strip_prefix("sleep ") {
            let wrong = || Failure::at(line, format!("sleep {seconds}: no time in seconds"));
            let span = userland::seconds(seconds.trim()).ok_or_else(wrong)?;
            return self.advance(self.now.after(span));
        }
        let outcome = userland::run(&mut self.stack, self.now, command);
        outcome.map_err(|what| Failure::at(line, what))?;
        self.pump()
    }

    /// The connection that a packet of the script belongs to; the first one to a listener opens one.
    fn flow(&mut self, line: usize, packet: &Packet) -> Result<&mut Flow, Failure> {
        if self.listening && matches!(packet.body, Body::Tcp(_)) {
            self.flow = None;
            self.listening = false;
        }
        let remote_port = match self.flow {
            Some(_) => 0,
            None => {
                self.remote_ports += 1;
                let port = REMOTE_PORT_MIN.checked_add(self.remote_ports);
                port.ok_or_else(|| {
                    Failure::at(line, "more connections than the script's side has ports")
                })?
            }
        };
        let (local, remote) = (self.program.local, self.program.remote.ip());
        // A socket that connects and has sent nothing yet knows its port already.
        let newest = self.program.descriptors.last_key_value();
        let bound = newest.and_then(|(_, descriptor)| self.stack.sockname(descriptor.fd));
        let flow = self
            .flow
            .get_or_insert_with(|| Flow::new(local, SocketAddr::new(remote, remote_port)));
        if let Some(bound) = bound.filter(|_| flow.local.port() == 0) {
            flow.local.set_port(bound.port());
        }
        if !flow.named(packet) {
            return Err(unnamed(line));
        }
        Ok(flow)
    }

    fn inject(&mut self, line: usize, packet: &Packet) -> Result<(), Failure> {
        let flow = self.flow(line, packet)?;
        let mut frame = match &packet.body {
            Body::Tcp(tcp) => {
                let segment = flow.outgoing_of_script(tcp);
                let mut segment = segment.map_err(|what| Failure::at(line, what))?;
                segment.udp = packet.udp;
                from_script(flow, FrameBody::Tcp(segment))
            }
            Body::Udp(len) => {
                let datagram = Datagram {
                    sport: flow.remote.port(),
                    dport: flow.local.port(),
                    data: vec![0; usize::from(*len)],
                };
                from_script(flow, FrameBody::Udp(datagram))
            }
            Body::Icmp(body) => icmp::message(body, flow),
        };
        frame.tos = packet.ip.dscp.unwrap_or(0) << 2 | packet.ip.ecn.unwrap_or(0);
        frame.ttl = packet.ip.ttl.unwrap_or(frame.ttl);
        frame.flow_label = packet.ip.flow_label.unwrap_or(0);
        let bytes = frame.encode(self.script.options.md5_secret.as_deref());
        self.note(Way::In, &bytes, Some(&frame));
        self.stack.inject(self.now, bytes);
        self.pump()
    }

    fn expect(&mut self, event: &Event, packet: &Packet) -> Result<(), Failure> {
        let (from, to) = self.window(event.time);
        let mut others = 0_usize;
        let (at, frame) = loop {
            self.pump()?;
            while self.sent.is_empty() {
                if !self.advance_once(to.after(PATIENCE))? {
                    let until = match to {
                        FOREVER => self.now,
                        to => to.after(PATIENCE),
                    };
                    let mut seen = format!("nothing until {} s", self.clock(until));
                    if others > 0 {
                        seen += &format!(", {others} of other connections");
                    }
                    let what = format!("no packet came; expected {}", self.span(from, to));
                    return Err(Failure::at(event.line, what).with(judge::expected(packet), seen));
                }
            }
            let Some((at, frame)) = self.sent.pop_front() else {
                continue;
            };
            if self.sent_on_flow(&frame) {
                break (at, frame);
            }
            others += 1;
        };
        self.judge(event, packet, &frame)?;
        self.judge_time(event.line, "the packet comes", (from, to), at)
    }

    /// Whether a packet of the stack is of the connection under test; the first one opens it where none is.
    fn sent_on_flow(&mut self, frame: &Frame) -> bool {
        let (local, remote) = (self.program.local.ip(), self.program.remote);
        let flow = self
            .flow
            .get_or_insert_with(|| Flow::new(SocketAddr::new(local, 0), remote));
        flow.owns(frame)
    }

    fn judge(&mut self, event: &Event, packet: &Packet, frame: &Frame) -> Result<(), Failure> {
        let rule = TimestampRule {
            tick_us: self.script.options.ts_tick_us,
            tolerance_us: self.script.options.tolerance_us,
        };
        let Some(flow) = &mut self.flow else {
            return Ok(());
        };
        if !flow.named(packet) {
            return Err(unnamed(event.line));
        }
        if let (Body::Tcp(tcp), Some(segment)) = (&packet.body, frame.segment()) {
            flow.learn(tcp, segment);
        }
        let comparison = judge::compare(packet, frame, flow, rule);
        if comparison.wrong.is_empty() {
            return Ok(());
        }
        let failure = Failure::differing(event.line, comparison);
        if self.script.options.non_fatal_packets {
            self.warnings.push(failure);
            return Ok(());
        }
        Err(failure)
    }

    fn judge_time(
        &self,
        line: usize,
        thing: &str,
        (from, to): (Instant, Instant),
        at: Instant,
    ) -> Result<(), Failure> {
        let tolerance = self.tolerance(from);
        let early = at.after(tolerance) < from;
        if !early && at <= to.after(tolerance) {
            return Ok(());
        }
        Err(self.mistimed(line, thing, (from, to), at))
    }

    /// A failure over the moment of something that could be between two, and a tolerance apart.
    pub(super) fn mistimed(
        &self,
        line: usize,
        thing: &str,
        (from, to): (Instant, Instant),
        at: Instant,
    ) -> Failure {
        let (off, way) = if at < from {
            (from.since(at), "early")
        } else {
            (at.since(to), "late")
        };
        let tolerance = milliseconds(self.tolerance(from));
        let what = format!(
            "wrong time: {thing} {} ms {way}; {tolerance} ms are tolerated",
            milliseconds(off)
        );
        Failure::at(line, what).with(self.span(from, to), self.span(at, at))
    }

    /// A moment, or the two that something must be between, since the script began.
    fn span(&self, from: Instant, to: Instant) -> String {
        if to == FOREVER {
            format!("from {} s on", self.clock(from))
        } else if from == to {
            format!("at {} s", self.clock(from))
        } else {
            format!("from {} s to {} s", self.clock(from), self.clock(to))
        }
    }

    fn begin_call(&mut self, event: &Event, call: &'a Syscall) -> Result<(), Failure> {
        let line = event.line;
        let base = match event.time {
            Time::Relative(_) => self.last,
            _ => UPTIME,
        };
        let wrong = |what| Failure::at(line, what);
        let trap = self.program.trap(call).map_err(wrong)?;
        let destination = calls::destination(call, self.program.remote).map_err(wrong)?;
        self.stack.begin_call(self.now, &trap);
        if let Some(remote) = destination.filter(|_| self.opens_connection(call)) {
            let local = SocketAddr::new(self.program.local.ip(), 0);
            self.flow = Some(Flow::new(local, remote));
            self.listening = false;
        }
        // Without an end the call must not block at all.
        let end = call.end.map(Duration::from_micros);
        let ends = end.map_or(self.now, |end| base.after(end));
        self.sleeping = Some(Sleeping { line, call, ends });
        self.end_call()?;
        if call.end.is_none() {
            self.finish_call()?;
        }
        self.pump()
    }

    /// `sendto` on a socket whose connection is known already opens none; a datagram goes where it says.
    fn opens_connection(&self, call: &Syscall) -> bool {
        let datagrams = match call.args.first() {
            Some(Arg::Value(fd)) => names::number(fd)
                .ok()
                .and_then(|fd| self.program.descriptors.get(&fd))
                .is_some_and(|descriptor| descriptor.datagrams),
            _ => false,
        };
        call.name == "connect"
            || datagrams
            || self
                .flow
                .as_ref()
                .is_none_or(|flow| flow.local_isn.is_some())
    }

    /// Judges the call under way if it has returned.
    pub(super) fn end_call(&mut self) -> Result<(), Failure> {
        let Some(returned) = self.stack.take_returned() else {
            return Ok(());
        };
        let Some(Sleeping { line, call, ends }) = self.sleeping.take() else {
            return Ok(());
        };
        let (result, written) = self.program.answer(call, &returned);
        self.listening |= call.name == "listen" && result.is_ok();
        self.judge_call(line, call, result, &written)?;
        let thing = format!("{} returns", call.name);
        self.judge_time(line, &thing, (ends, ends), self.now)
    }

    /// Waits until a sleeping call has returned.
    pub(super) fn finish_call(&mut self) -> Result<(), Failure> {
        let limit = self.now.after(PATIENCE);
        while let Some(sleeping) = &self.sleeping {
            let (line, ends, name) = (sleeping.line, sleeping.ends, &sleeping.call.name);
            if !self.advance_once(limit)? {
                let seen = format!("nothing until {} s", self.clock(limit));
                return Err(Failure::at(line, format!("{name} does not return"))
                    .with(self.span(ends, ends), seen));
            }
        }
        Ok(())
    }

    fn judge_call(
        &mut self,
        line: usize,
        call: &Syscall,
        result: Result<i64, Errno>,
        given: &Written,
    ) -> Result<(), Failure> {
        let number = result.unwrap_or(-1);
        let same = call.result.is_none_or(|wanted| wanted == number)
            && (call.errno.is_none() || call.errno == result.err());
        let text = |number: Option<i64>, errno: Option<Errno>| {
            let number = number.map_or("...".to_owned(), |number| number.to_string());
            let errno = errno.map(|errno| format!(" {errno}")).unwrap_or_default();
            format!("{}(...) = {number}{errno}", call.name)
        };
        let failure = if same {
            let wrong = written::miswritten(call, given).map_err(|what| Failure::at(line, what))?;
            let Some((expected, seen)) = wrong else {
                return Ok(());
            };
            Failure::at(line, format!("{} gives otherwise", call.name)).with(expected, seen)
        } else {
            Failure::at(line, format!("{} returns otherwise", call.name)).with(
                text(call.result, call.errno),
                text(Some(number), result.err()),
            )
        };
        if self.script.options.non_fatal_syscalls {
            self.warnings.push(failure);
            return Ok(());
        }
        Err(failure)
    }

    fn assert(&mut self, line: usize, assertion: &Assertion) -> Result<(), Failure> {
        let wrong = |what| Failure::at(line, what);
        let info = self.tcp_info().map_err(wrong)?;
        if assert::holds(&assertion.expr, &info).map_err(wrong)? {
            return Ok(());
        }
        let values = assert::values(&assertion.expr, &info).join(", ");
        Err(Failure::at(line, "assertion failed").with(assertion.text.clone(), values))
    }

    /// `TCP_INFO` of the socket under test: the newest descriptor.
    fn tcp_info(&mut self) -> Result<Vec<u8>, String> {
        let (_, descriptor) = self
            .program
            .descriptors
            .last_key_value()
            .ok_or("no socket is open for tcp_info")?;
        let constant = |name| i32::try_from(names::constant(name).unwrap_or(0)).unwrap_or(0);
        let option = (constant("IPPROTO_TCP"), constant("TCP_INFO"));
        self.stack
            .option(self.now, descriptor.fd, option, names::TCP_INFO_SIZE)
            .map_err(|errno| format!("TCP_INFO: {errno}"))
    }
}

/// A packet of the script's side.
fn from_script(flow: &Flow, body: FrameBody) -> Frame {
    Frame {
        src: flow.remote.ip(),
        dst: flow.local.ip(),
        tos: 0,
        ttl: 64,
        flow_label: 0,
        body,
    }
}

/// A span in milliseconds, with as many decimals as it has.
fn milliseconds(span: Duration) -> String {
    let us = span.as_micros();
    let text = format!("{}.{:03}", us / 1_000, us % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn unnamed(line: usize) -> Failure {
    Failure::at(
        line,
        "its ports are not those that the first packet of the connection names",
    )
}
