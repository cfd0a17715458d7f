// SPDX-License-Identifier: BSD-2-Clause
//! The kinds of events of a script, one function each.

use super::calls::{self, PORT, Progress};
use super::flow::Flow;
use super::stack::Stack;
use super::{Failure, PATIENCE, Run, Sleeping, icmp, judge, names, userland};
use crate::packetdrill::ast::{
    Action, Assertion, Body, Direction, Event, Expr, Packet, Syscall, Tcp, Time,
};
use crate::packetdrill::wire::{Frame, FrameBody};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// The first port of the script's side where the stack is the one connected to.
const REMOTE_PORT_MIN: u16 = 49_152;

impl<'a, S: Stack> Run<'a, S> {
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
                self.begin_call(event.line, call)
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
        let open = self.program.open();
        let outcome = userland::run(&mut self.stack, self.now, &open, command);
        outcome.map_err(|what| Failure::at(line, what))?;
        self.pump()
    }

    /// The connection under test; the first packet to a listener opens one.
    fn flow(&mut self, line: usize) -> Result<&mut Flow, Failure> {
        if self.listening {
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
        Ok(self.flow.get_or_insert_with(|| {
            Flow::new(
                SocketAddr::new(self.program.local, PORT),
                SocketAddr::new(self.program.remote, remote_port),
            )
        }))
    }

    fn inject(&mut self, line: usize, packet: &Packet) -> Result<(), Failure> {
        let mut frame = match &packet.body {
            Body::Tcp(tcp) => {
                let flow = self.flow(line)?;
                let mut segment = flow.outgoing_of_script(tcp);
                segment.udp = packet.udp;
                Frame {
                    src: flow.remote.ip(),
                    dst: flow.local.ip(),
                    tos: 0,
                    ttl: 64,
                    body: FrameBody::Tcp(segment),
                }
            }
            Body::Icmp(body) => icmp::error(body, self.flow(line)?)
                .map_err(|name| Failure::at(line, format!("unknown {name}")))?,
        };
        frame.tos = packet.ip.dscp.unwrap_or(0) << 2 | packet.ip.ecn.unwrap_or(0);
        frame.ttl = packet.ip.ttl.unwrap_or(frame.ttl);
        let bytes = frame.encode(self.script.options.md5_secret.as_deref());
        self.stack.inject(self.now, bytes);
        self.pump()
    }

    fn expect(&mut self, event: &Event, packet: &Packet) -> Result<(), Failure> {
        let Body::Tcp(tcp) = &packet.body else {
            return Err(Failure::at(
                event.line,
                "ICMP of the stack cannot be expected",
            ));
        };
        let (from, to) = self.window(event.time);
        self.pump()?;
        while self.sent.is_empty() {
            if !self.advance_once(to.after(PATIENCE))? {
                let wanted = judge::describe_expected(tcp, packet.udp);
                return Err(Failure::at(event.line, "no packet came")
                    .with(wanted, format!("nothing until {}", self.clock(self.now))));
            }
        }
        let Some((at, frame)) = self.sent.pop_front() else {
            return Err(Failure::at(event.line, "no packet came"));
        };
        self.judge(event, packet, tcp, &frame)?;
        self.judge_time(event.line, (from, to), at)
    }

    fn judge(
        &mut self,
        event: &Event,
        packet: &Packet,
        tcp: &Tcp,
        frame: &Frame,
    ) -> Result<(), Failure> {
        let remote = SocketAddr::new(self.program.remote, PORT);
        let flow = self
            .flow
            .get_or_insert_with(|| Flow::new(SocketAddr::new(frame.src, 0), remote));
        if let Some(segment) = frame.segment() {
            if flow.local.port() == 0 {
                flow.local.set_port(segment.sport);
            }
            flow.learn(tcp, segment);
        }
        let wrong = judge::differences(packet, frame, flow);
        if wrong.is_empty() {
            return Ok(());
        }
        let failure = Failure::at(event.line, format!("packet differs: {}", wrong.join(", ")))
            .with(
                judge::describe_expected(tcp, packet.udp),
                judge::describe(frame, flow, tcp.absolute),
            );
        if self.script.options.non_fatal_packets {
            self.warnings.push(failure);
            return Ok(());
        }
        Err(failure)
    }

    fn judge_time(
        &self,
        line: usize,
        (from, to): (Instant, Instant),
        at: Instant,
    ) -> Result<(), Failure> {
        let early = at.after(self.tolerance()) < from;
        if early || at > to.after(self.tolerance()) {
            let what = format!("wrong time, beyond {} us", self.script.options.tolerance_us);
            return Err(Failure::at(line, what).with(self.clock(from), self.clock(at)));
        }
        Ok(())
    }

    fn begin_call(&mut self, line: usize, call: &'a Syscall) -> Result<(), Failure> {
        let progress = self
            .program
            .call(&mut self.stack, self.now, call, None)
            .map_err(|what| Failure::at(line, what))?;
        match (call.name.as_str(), &progress) {
            ("listen", Progress::Done(Ok(_), _)) => self.listening = true,
            ("connect" | "sendto", _) if self.opens_connection(call) => {
                let local = SocketAddr::new(self.program.local, 0);
                self.flow = Some(Flow::new(local, SocketAddr::new(self.program.remote, PORT)));
                self.listening = false;
            }
            _ => {}
        }
        match progress {
            Progress::Done(result, value) => self.judge_call(line, call, result, value)?,
            Progress::Sleeps(resume) if call.end.is_some() => {
                self.sleeping = Some(Sleeping {
                    line,
                    call,
                    resume,
                    began: self.now,
                });
            }
            Progress::Sleeps(resume) => {
                self.sleeping = Some(Sleeping {
                    line,
                    call,
                    resume,
                    began: self.now,
                });
                self.finish_call()?;
            }
        }
        self.pump()
    }

    /// `sendto` on a socket whose connection is known already opens none.
    fn opens_connection(&self, call: &Syscall) -> bool {
        call.name == "connect"
            || self
                .flow
                .as_ref()
                .is_none_or(|flow| flow.local_isn.is_some())
    }

    pub(super) fn retry_call(&mut self) -> Result<(), Failure> {
        let Some(sleeping) = self.sleeping.take() else {
            return Ok(());
        };
        let progress = self
            .program
            .call(
                &mut self.stack,
                self.now,
                sleeping.call,
                Some(sleeping.resume),
            )
            .map_err(|what| Failure::at(sleeping.line, what))?;
        match progress {
            Progress::Sleeps(resume) => {
                self.sleeping = Some(Sleeping { resume, ..sleeping });
                Ok(())
            }
            Progress::Done(result, value) => {
                self.judge_call(sleeping.line, sleeping.call, result, value)?;
                self.judge_end(&sleeping)
            }
        }
    }

    fn judge_end(&self, sleeping: &Sleeping<'_>) -> Result<(), Failure> {
        let us = Duration::from_micros;
        let wanted = match sleeping.call.end {
            Some(Time::Absolute(at)) => super::UPTIME.after(us(at)),
            Some(Time::Relative(span)) => sleeping.began.after(us(span)),
            // Without an end the call must not block at all.
            None => sleeping.began,
            Some(_) => return Ok(()),
        };
        self.judge_time(sleeping.line, (wanted, wanted), self.now)
    }

    /// Waits until a sleeping call has returned.
    pub(super) fn finish_call(&mut self) -> Result<(), Failure> {
        let limit = self.now.after(PATIENCE);
        while let Some(sleeping) = &self.sleeping {
            let line = sleeping.line;
            if !self.advance_once(limit)? {
                return Err(Failure::at(line, "the call does not return"));
            }
        }
        Ok(())
    }

    fn judge_call(
        &mut self,
        line: usize,
        call: &Syscall,
        result: Result<i64, crate::errno::Errno>,
        value: Option<i64>,
    ) -> Result<(), Failure> {
        let option = calls::expected_option(call).map_err(|what| Failure::at(line, what))?;
        let number = result.unwrap_or(-1);
        let same = call.result.is_none_or(|wanted| wanted == number)
            && (call.errno.is_none() || call.errno == result.err())
            && (option.is_none() || result.is_err() || option == value);
        if same {
            return Ok(());
        }
        let text = |number: i64, errno: Option<crate::errno::Errno>, value: Option<i64>| {
            let errno = errno.map(|e| format!(" {e}")).unwrap_or_default();
            let value = value.map(|v| format!(", value {v}")).unwrap_or_default();
            format!("{}(...) = {number}{errno}{value}", call.name)
        };
        let failure = Failure::at(line, format!("{} returns otherwise", call.name)).with(
            text(call.result.unwrap_or(0), call.errno, option),
            text(number, result.err(), option.and(value)),
        );
        if self.script.options.non_fatal_syscalls {
            self.warnings.push(failure);
            return Ok(());
        }
        Err(failure)
    }

    fn assert(&mut self, line: usize, assertion: &Assertion) -> Result<(), Failure> {
        let info = self.tcp_info().map_err(|what| Failure::at(line, what))?;
        let side = |expr: &Expr| {
            evaluate(expr, &info).map_err(|name| Failure::at(line, format!("unknown name {name}")))
        };
        let (left, right) = (side(&assertion.left)?, side(&assertion.right)?);
        let holds = match assertion.op.as_str() {
            "==" => left == right,
            "!=" => left != right,
            "<" => left < right,
            "<=" => left <= right,
            ">" => left > right,
            _ => left >= right,
        };
        if holds {
            return Ok(());
        }
        Err(
            Failure::at(line, format!("assertion failed: {}", assertion.text))
                .with(right.to_string(), left.to_string()),
        )
    }

    /// `TCP_INFO` of the socket under test: the newest descriptor.
    fn tcp_info(&mut self) -> Result<Vec<u8>, String> {
        let (_, descriptor) = self
            .program
            .descriptors
            .last_key_value()
            .ok_or("no socket is open for tcp_info")?;
        let constant = |name| i32::try_from(names::constant(name).unwrap_or(0)).unwrap_or(0);
        let (level, option) = (constant("IPPROTO_TCP"), constant("TCP_INFO"));
        self.stack
            .sockets()
            .sogetopt(self.now, descriptor.so, level, option, names::TCP_INFO_SIZE)
            .map_err(|errno| format!("TCP_INFO: {errno}"))
    }
}

/// The value of an expression, or the name in it that is unknown. Depth is bounded by the parser.
fn evaluate(expr: &Expr, info: &[u8]) -> Result<i64, String> {
    match expr {
        Expr::Number(n) => Ok(*n),
        Expr::Name(name) => names::tcp_info(info, name)
            .or_else(|| names::constant(name))
            .ok_or_else(|| name.clone()),
        Expr::Binary(left, op, right) => {
            let (left, right) = (evaluate(left, info)?, evaluate(right, info)?);
            Ok(match op {
                '|' => left | right,
                '&' => left & right,
                '+' => left.wrapping_add(right),
                '-' => left.wrapping_sub(right),
                '*' => left.wrapping_mul(right),
                _ => left.checked_div(right).unwrap_or(0),
            })
        }
    }
}
