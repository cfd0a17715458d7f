// SPDX-License-Identifier: BSD-2-Clause
//! Words into instructions and data.

use super::error::{AsmError, AsmErrorKind as Kind};
use super::lex::{Token, TokenKind, Wrong, tokens};
use super::operand::{operand_count, register, substitute, want_register};
use super::{DATA_BASE, DATA_MAX, INSNS_MAX, Program, SOURCE_MAX, TEXT_BASE};
use crate::guest::consts::{LIBC, constant, sys, syscall_by_name};
use crate::guest::isa::{AT, INSN_SIZE, Insn, Op, Shape};
use std::collections::BTreeMap;

/// Assembles a program. `params` are the values of `$NAME`.
///
/// # Errors
/// The first mistake in the text.
pub fn assemble(source: &str, params: &[(&str, &str)]) -> Result<Program, AsmError> {
    let mut asm = Assembler::default();
    let at = |line, (column, kind)| AsmError { line, column, kind };
    if source.len() > SOURCE_MAX {
        return Err(at(1, (1, Kind::SourceTooLong)));
    }
    for (index, line) in source.lines().enumerate() {
        asm.line = index + 1;
        let done = substitute(line, params).and_then(|line| asm.line(&line));
        done.map_err(|wrong| at(asm.line, wrong))?;
    }
    asm.finish()
}

/// A value that may not be known yet.
#[derive(Clone, Debug)]
enum Value {
    Known(i64),
    Label(String),
    Len(String),
}

/// Where a value goes when the labels are known.
struct Fixup {
    insn: usize,
    value: Value,
    line: usize,
    column: usize,
}

#[derive(Default)]
struct Assembler {
    insns: Vec<Insn>,
    data: Vec<u8>,
    in_data: bool,
    line: usize,
    /// Labels that wait for what they name: data labels get their size from one item.
    labels: BTreeMap<String, (u64, u64)>,
    pending: Vec<String>,
    constants: BTreeMap<String, i64>,
    fixups: Vec<Fixup>,
}

type Done<T = ()> = Result<T, Wrong>;

impl Assembler {
    fn line(&mut self, line: &str) -> Done {
        let words = tokens(line)?;
        let mut rest = words.as_slice();
        while let [first, after @ ..] = rest {
            let TokenKind::Word(word) = &first.kind else {
                break;
            };
            let Some(label) = word.strip_suffix(':') else {
                break;
            };
            self.define_label(label, first.column)?;
            rest = after;
        }
        let [first, operands @ ..] = rest else {
            return Ok(());
        };
        if let [equals, value] = operands
            && equals.kind == TokenKind::Word("=".into())
        {
            let value = self.known(value)?;
            self.check_new(&first.text(), first.column)?;
            self.constants.insert(first.text(), value);
            return Ok(());
        }
        match first.text().as_str() {
            ".text" => self.in_data = false,
            ".data" => self.in_data = true,
            _ if self.in_data => self.datum(first, operands)?,
            _ => self.instruction(first, operands)?,
        }
        Ok(())
    }

    fn define_label(&mut self, label: &str, column: usize) -> Done {
        self.check_new(label, column)?;
        let here = if self.in_data {
            self.pending.push(label.into());
            DATA_BASE + self.data.len() as u64
        } else {
            TEXT_BASE + self.insns.len() as u64 * INSN_SIZE
        };
        self.labels.insert(label.into(), (here, 0));
        Ok(())
    }

    fn check_new(&self, name: &str, column: usize) -> Done {
        let mut chars = name.chars();
        let good = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || c == '_');
        if !good {
            return Err((column, Kind::UnknownWord(name.into())));
        }
        let taken = self.labels.contains_key(name)
            || self.constants.contains_key(name)
            || register(name).is_some()
            || constant(name).is_some();
        if taken {
            return Err((column, Kind::Redefined(name.into())));
        }
        Ok(())
    }

    fn datum(&mut self, word: &Token, operands: &[Token]) -> Done {
        let name = word.text();
        let mut bytes = Vec::new();
        match (name.as_str(), operands) {
            ("string" | "asciz", [one]) => {
                let TokenKind::String(text) = &one.kind else {
                    return Err((one.column, Kind::NotAString));
                };
                bytes.extend_from_slice(text);
                bytes.extend((name == "asciz").then_some(0));
            }
            ("space", [one]) => {
                let size = usize::try_from(self.known(one)?).ok();
                let size = size.filter(|size| *size <= DATA_MAX);
                let size = size.ok_or((one.column, Kind::TooMuchData))?;
                bytes.resize(size, 0);
            }
            ("byte", values) => self.values(values, 1, &mut bytes)?,
            ("half", values) => self.values(values, 2, &mut bytes)?,
            ("word", values) => self.values(values, 4, &mut bytes)?,
            ("quad", values) => self.values(values, 8, &mut bytes)?,
            ("timespec", values @ [_, _]) => self.values(values, 8, &mut bytes)?,
            ("pollfd", [fd, events]) => {
                self.values(std::slice::from_ref(fd), 4, &mut bytes)?;
                self.values(std::slice::from_ref(events), 2, &mut bytes)?;
                bytes.extend([0, 0]);
            }
            ("sockaddr_in", [one]) => bytes.extend(self.sockaddr(one)?),
            ("string" | "asciz" | "space" | "sockaddr_in", _) => {
                return Err(operand_count(word, 1, operands));
            }
            ("timespec" | "pollfd", _) => return Err(operand_count(word, 2, operands)),
            _ if Op::from_name(&name).is_some() || name == "sys" => {
                return Err((word.column, Kind::WrongSection(name)));
            }
            _ => return Err((word.column, Kind::UnknownWord(name))),
        }
        if self.data.len() + bytes.len() > DATA_MAX {
            return Err((word.column, Kind::TooMuchData));
        }
        for label in self.pending.drain(..) {
            if let Some((_, size)) = self.labels.get_mut(&label) {
                *size = bytes.len() as u64;
            }
        }
        self.data.extend(bytes);
        Ok(())
    }

    fn values(&self, words: &[Token], width: usize, out: &mut Vec<u8>) -> Done {
        for word in words {
            let value = self.known(word)?;
            let bits = 8 * width as u32;
            let fits = bits == 64 || (value >> bits) == 0 || (value >> (bits - 1)) == -1;
            if !fits {
                return Err((word.column, Kind::TooLarge(word.text())));
            }
            out.extend(value.to_le_bytes().iter().take(width));
        }
        Ok(())
    }

    /// `struct sockaddr_in` (`netinet/in.h`): length, family, port and address in network order.
    fn sockaddr(&self, word: &Token) -> Done<Vec<u8>> {
        let text = word.text();
        let wrong = || (word.column, Kind::NotASockaddr(text.clone()));
        let (addr, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let addr: std::net::Ipv4Addr = addr.parse().map_err(|_| wrong())?;
        let port = match self.constants.get(port) {
            Some(value) => u16::try_from(*value).ok(),
            None => port.parse().ok(),
        };
        let port: u16 = port.ok_or_else(wrong)?;
        let mut bytes = vec![16, 2];
        bytes.extend(port.to_be_bytes());
        bytes.extend(addr.octets());
        bytes.resize(16, 0);
        Ok(bytes)
    }

    fn instruction(&mut self, word: &Token, operands: &[Token]) -> Done {
        match (word.text().as_str(), operands) {
            ("sys", [name, rest @ ..]) => self.syscall(name, rest)?,
            ("set", [to, value]) => {
                let to = want_register(to)?;
                let place = value.column;
                let value = self.value(value)?;
                self.load_value(to, value, place);
            }
            ("exit", [status]) => {
                let name = Token {
                    column: word.column,
                    kind: TokenKind::Word("exit".into()),
                };
                self.syscall(&name, std::slice::from_ref(status))?;
            }
            ("print", [label]) => {
                let name = label.text();
                self.load_value(0, Value::Known(i64::from(sys::SYS_WRITE)), 0);
                self.load_value(1, Value::Known(1), 0);
                self.load_value(2, Value::Label(name.clone()), label.column);
                self.load_value(3, Value::Len(name), label.column);
                self.insns.push(Insn::new(Op::Syscall));
            }
            ("set", _) => return Err(operand_count(word, 2, operands)),
            ("sys" | "exit" | "print", _) => return Err(operand_count(word, 1, operands)),
            _ => self.plain(word, operands)?,
        }
        if self.insns.len() > INSNS_MAX {
            return Err((word.column, Kind::TooManyInstructions));
        }
        Ok(())
    }

    /// An instruction of the machine, or one whose last register is written as a constant.
    fn plain(&mut self, word: &Token, operands: &[Token]) -> Done {
        let name = word.text();
        let Some(op) = Op::from_name(&name) else {
            let data = ["string", "asciz", "space", "byte", "half", "word", "quad"];
            let kind = match name.as_str() {
                "sockaddr_in" | "timespec" | "pollfd" => Kind::WrongSection(name),
                _ if data.contains(&name.as_str()) => Kind::WrongSection(name),
                _ => Kind::UnknownWord(name),
            };
            return Err((word.column, kind));
        };
        let mut insn = Insn::new(op);
        match (op.shape(), operands) {
            (Shape::None, []) => {}
            (Shape::A, [a]) => insn.a = want_register(a)?,
            (Shape::AB, [a, b]) => {
                insn.a = want_register(a)?;
                insn.b = want_register(b)?;
            }
            (Shape::ABC, [a, b, c]) => {
                insn.a = want_register(a)?;
                insn.b = want_register(b)?;
                match register(&c.text()) {
                    Some(c) => insn.c = c,
                    None => return self.immediate_form(insn, c),
                }
            }
            (Shape::ABImm, [a, b, value]) => {
                insn.a = want_register(a)?;
                insn.b = want_register(b)?;
                return self.push_value(insn, value);
            }
            (Shape::AImm, [a, value]) => {
                insn.a = want_register(a)?;
                return self.push_value(insn, value);
            }
            (Shape::Mem, [a, address]) => {
                insn.a = want_register(a)?;
                return self.memory(insn, address);
            }
            (Shape::ABTarget, [a, b, target]) => {
                insn.a = want_register(a)?;
                insn.b = match register(&b.text()) {
                    Some(b) => b,
                    None => {
                        let value = self.value(b)?;
                        self.load_value(AT, value, b.column);
                        AT
                    }
                };
                return self.push_value(insn, target);
            }
            (Shape::Target, [target]) => return self.push_value(insn, target),
            (shape, _) => {
                let takes = match shape {
                    Shape::None => 0,
                    Shape::A | Shape::Target => 1,
                    Shape::AB | Shape::AImm | Shape::Mem => 2,
                    Shape::ABC | Shape::ABImm | Shape::ABTarget => 3,
                };
                return Err(operand_count(word, takes, operands));
            }
        }
        self.insns.push(insn);
        Ok(())
    }

    /// `op a, b, constant`: the immediate form, or through `at` where it does not fit.
    fn immediate_form(&mut self, mut insn: Insn, word: &Token) -> Done {
        let value = self.value(word)?;
        let small = match value {
            Value::Known(value) => i32::try_from(value).is_ok(),
            _ => true,
        };
        match Op::from_code(insn.op as u8 + 0x10) {
            Some(op) if small => {
                insn.op = op;
                self.push_value(insn, word)
            }
            _ => {
                self.load_value(AT, value, word.column);
                insn.c = AT;
                self.insns.push(insn);
                Ok(())
            }
        }
    }

    fn memory(&mut self, mut insn: Insn, word: &Token) -> Done {
        let wrong = || (word.column, Kind::NotAnAddress(word.text()));
        let inner = match &word.kind {
            TokenKind::Address(inner) => inner,
            // A label alone is an address: the base is put into `at`.
            _ => {
                let value = self.value(word)?;
                self.load_value(AT, value, word.column);
                insn.b = AT;
                self.insns.push(insn);
                return Ok(());
            }
        };
        let (base, offset, sign) = if let Some((base, offset)) = inner.split_once('+') {
            (base, Some(offset), 1)
        } else if let Some((base, offset)) = inner.split_once('-') {
            (base, Some(offset), -1)
        } else {
            (inner.as_str(), None, 1)
        };
        insn.b = register(base.trim()).ok_or_else(wrong)?;
        if let Some(offset) = offset {
            let offset = self.parse_known(offset.trim()).ok_or_else(wrong)?;
            let offset = offset.checked_mul(sign).and_then(|o| i32::try_from(o).ok());
            insn.imm = offset.ok_or_else(wrong)?;
        }
        self.insns.push(insn);
        Ok(())
    }

    /// `sys NAME ARGS.. [-> REG [REG]]`.
    fn syscall(&mut self, name: &Token, rest: &[Token]) -> Done {
        let text = name.text();
        let libc = LIBC.iter().find(|(libc, _, _)| *libc == text);
        let (full, takes) = match libc {
            Some(&(_, full, takes)) => (full, Some(takes)),
            None => (text.as_str(), None),
        };
        let call = syscall_by_name(full);
        let call = call.ok_or_else(|| (name.column, Kind::UnknownSyscall(text.clone())))?;
        let takes = takes.unwrap_or(call.nargs);
        let arrow = |token: &Token| token.kind == TokenKind::Word("->".into());
        let (args, results) = match rest.iter().position(arrow) {
            Some(at) => (rest.get(..at), rest.get(at + 1..)),
            None => (Some(rest), None),
        };
        let args = args.unwrap_or_default();
        if args.len() != takes {
            return Err(operand_count(name, takes, args));
        }
        self.arguments(args, call.nargs)?;
        self.load_value(0, Value::Known(i64::from(call.number)), 0);
        self.insns.push(Insn::new(Op::Syscall));
        for (from, to) in (0_u8..).zip(results.unwrap_or_default()) {
            if from > 1 {
                return Err(operand_count(name, 2, results.unwrap_or_default()));
            }
            let to = want_register(to)?;
            self.mov(to, from);
        }
        Ok(())
    }

    /// Puts the arguments into `r1`.. as if all at once: moves first, in an order in which none
    /// overwrites the source of another, then constants.
    fn arguments(&mut self, args: &[Token], nargs: usize) -> Done {
        let mut moves: Vec<(u8, u8)> = Vec::new();
        let mut constants = Vec::new();
        for (to, arg) in (1_u8..).zip(args) {
            match register(&arg.text()) {
                Some(from) if from == to => {}
                Some(from) => moves.push((to, from)),
                None => constants.push((to, self.value(arg)?, arg.column)),
            }
        }
        while let Some(&(first_to, first_from)) = moves.first() {
            let free = moves
                .iter()
                .position(|&(to, _)| moves.iter().all(|&(_, from)| from != to));
            match free {
                Some(at) => {
                    let (to, from) = moves.remove(at);
                    self.mov(to, from);
                }
                // Only cycles are left: one value waits in `at`.
                None => {
                    self.mov(AT, first_from);
                    moves.retain(|&(to, _)| to != first_to);
                    for (_, from) in &mut moves {
                        if *from == first_from {
                            *from = AT;
                        }
                    }
                    moves.push((first_to, AT));
                }
            }
        }
        for (to, value, column) in constants {
            self.load_value(to, value, column);
        }
        for to in args.len() + 1..=nargs {
            self.load_value(to as u8, Value::Known(0), 0);
        }
        Ok(())
    }

    fn mov(&mut self, a: u8, b: u8) {
        let mov = Insn::new(Op::Mov);
        self.insns.push(Insn { a, b, ..mov });
    }

    /// Puts a value into a register, in one instruction where it fits 32 bits.
    fn load_value(&mut self, a: u8, value: Value, column: usize) {
        let mut li = Insn::new(Op::Li);
        li.a = a;
        if let Value::Known(known) = value {
            li.imm = known as i32;
            self.insns.push(li);
            if i64::from(li.imm) != known {
                li.op = Op::Lih;
                li.imm = (known >> 32) as i32;
                self.insns.push(li);
            }
            return;
        }
        self.fixup(value, column);
        self.insns.push(li);
    }

    /// Appends the instruction with its immediate.
    fn push_value(&mut self, mut insn: Insn, word: &Token) -> Done {
        match self.value(word)? {
            Value::Known(value) => {
                let imm = i32::try_from(value).or_else(|_| u32::try_from(value).map(|v| v as i32));
                insn.imm = imm.map_err(|_| (word.column, Kind::TooLarge(word.text())))?;
            }
            value => self.fixup(value, word.column),
        }
        self.insns.push(insn);
        Ok(())
    }

    fn fixup(&mut self, value: Value, column: usize) {
        self.fixups.push(Fixup {
            insn: self.insns.len(),
            value,
            line: self.line,
            column,
        });
    }

    fn value(&self, word: &Token) -> Done<Value> {
        let wrong = || (word.column, Kind::NotAValue(word.text()));
        let TokenKind::Word(text) = &word.kind else {
            return Err(wrong());
        };
        if let Some(value) = self.parse_known(text) {
            return Ok(Value::Known(value));
        }
        if text.contains('|') {
            return Err(wrong());
        }
        let name_like = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
        match text.strip_suffix(".len") {
            Some(label) if name_like(label) => Ok(Value::Len(label.into())),
            None if name_like(text) && !text.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(Value::Label(text.clone()))
            }
            _ => Err(wrong()),
        }
    }

    /// A value that must be known where it stands.
    fn known(&self, word: &Token) -> Done<i64> {
        match self.value(word)? {
            Value::Known(value) => Ok(value),
            Value::Label(name) | Value::Len(name) => {
                let place = match (self.labels.get(&name), word.text().ends_with(".len")) {
                    (Some((_, size)), true) => Some(*size),
                    (Some((addr, _)), false) => Some(*addr),
                    (None, _) => None,
                };
                let value = place.and_then(|value| i64::try_from(value).ok());
                value.ok_or((word.column, Kind::Undefined(name)))
            }
        }
    }

    fn parse_known(&self, text: &str) -> Option<i64> {
        let mut all = 0;
        for part in text.split('|') {
            let (part, negative) = match part.strip_prefix('-') {
                Some(part) => (part, true),
                None => (part, false),
            };
            let value = self.parse_one(part)?;
            all |= if negative {
                value.checked_neg()?
            } else {
                value
            };
        }
        Some(all)
    }

    fn parse_one(&self, text: &str) -> Option<i64> {
        if let Some(hex) = text.strip_prefix("0x") {
            return u64::from_str_radix(hex, 16).ok().map(|v| v as i64);
        }
        if let Some(inner) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
            let mut chars = inner.chars();
            let c = chars.next()?;
            return chars.next().is_none().then_some(i64::from(u32::from(c)));
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return text.parse().ok();
        }
        self.constants.get(text).copied().or_else(|| constant(text))
    }

    fn finish(mut self) -> Result<Program, AsmError> {
        for fixup in &self.fixups {
            let (name, want_size) = match &fixup.value {
                Value::Known(_) => continue,
                Value::Label(name) => (name, false),
                Value::Len(name) => (name, true),
            };
            let found = self.labels.get(name);
            let value = found.map(|&(addr, size)| if want_size { size } else { addr });
            let Some(value) = value else {
                return Err(AsmError {
                    line: fixup.line,
                    column: fixup.column,
                    kind: Kind::Undefined(name.clone()),
                });
            };
            if let Some(insn) = self.insns.get_mut(fixup.insn) {
                insn.imm = value as u32 as i32;
            }
        }
        if self.insns.is_empty() {
            return Err(AsmError {
                line: self.line.max(1),
                column: 1,
                kind: Kind::Empty,
            });
        }
        let entry = self
            .labels
            .get("start")
            .map_or(TEXT_BASE, |&(addr, _)| addr);
        Ok(Program {
            text: self.insns.iter().flat_map(|insn| insn.encode()).collect(),
            data: self.data,
            entry,
            symbols: self.labels,
        })
    }
}
