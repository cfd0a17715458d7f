// SPDX-License-Identifier: BSD-2-Clause
//! amd64: follows each function's instructions from its entry, with the stack's depth.

use std::collections::BTreeMap;

use iced_x86::{
    CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use super::code::{Body, Call, Callee};
use super::module::{Function, Module, Target};

/// Bytes that a call puts on the stack before the callee runs.
const RETURN_ADDRESS: u64 = 8;

/// Decodes one function; also gives how many instructions it has.
pub(crate) fn body(
    module: &Module,
    function: &Function,
    branches: &BTreeMap<u64, &Target>,
) -> (Body, usize) {
    let mut decoder = Decoder::with_ip(64, &function.code, function.start, DecoderOptions::NONE);
    let instructions: BTreeMap<u64, Instruction> = decoder
        .iter()
        .map(|instruction| (instruction.ip(), instruction))
        .collect();
    let mut walk = Walk {
        module,
        function,
        branches,
        body: Body::default(),
        seen: BTreeMap::new(),
        saved: None,
    };
    for instruction in instructions.values() {
        if let Some(what) = float(instruction) {
            walk.body.float.push(what);
        }
    }
    walk.from(function.start, 0, &instructions);
    // What only a jump table leads to runs with the whole frame in place.
    while let Some(ip) = instructions.keys().find(|ip| !walk.seen.contains_key(ip)) {
        let frame = walk.body.frame;
        walk.from(*ip, frame, &instructions);
    }
    (walk.body, instructions.len())
}

struct Walk<'a> {
    module: &'a Module,
    function: &'a Function,
    branches: &'a BTreeMap<u64, &'a Target>,
    body: Body,
    /// Depth at each instruction visited.
    seen: BTreeMap<u64, u64>,
    /// Depth that the frame pointer remembers.
    saved: Option<u64>,
}

impl Walk<'_> {
    fn from(&mut self, start: u64, depth: u64, instructions: &BTreeMap<u64, Instruction>) {
        let mut todo = vec![(start, depth)];
        while let Some((ip, depth)) = todo.pop() {
            let Some(instruction) = instructions.get(&ip) else {
                continue;
            };
            if self.seen.insert(ip, depth).is_some() {
                continue;
            }
            let after = self.depth_after(instruction, depth);
            self.body.frame = self.body.frame.max(after);
            match instruction.flow_control() {
                FlowControl::Next => todo.push((instruction.next_ip(), after)),
                FlowControl::Call | FlowControl::IndirectCall => {
                    self.call(instruction, depth + RETURN_ADDRESS);
                    todo.push((instruction.next_ip(), after));
                }
                FlowControl::ConditionalBranch => {
                    self.branch(instruction, depth, &mut todo);
                    todo.push((instruction.next_ip(), after));
                }
                FlowControl::UnconditionalBranch => self.branch(instruction, depth, &mut todo),
                // A jump through a register with no frame left is a call in tail position; a jump
                // table runs inside the frame.
                FlowControl::IndirectBranch if depth == 0 => self.call(instruction, 0),
                _ => {}
            }
        }
    }

    fn branch(&mut self, instruction: &Instruction, depth: u64, todo: &mut Vec<(u64, u64)>) {
        let target = instruction.near_branch_target();
        let end = self.function.start + self.function.code.len() as u64;
        let relocated = self.relocated(instruction).is_some();
        if !relocated && (self.function.start..end).contains(&target) {
            todo.push((target, depth));
        } else {
            self.call(instruction, depth);
        }
    }

    fn call(&mut self, instruction: &Instruction, depth: u64) {
        let callee = match self.relocated(instruction) {
            Some(Target::Kernel(name)) => Callee::Kernel(name.clone()),
            Some(Target::Code(address)) => self.own(*address),
            Some(Target::Data) => Callee::Unknown,
            None if instruction.op0_kind() == OpKind::NearBranch64 => {
                self.own(instruction.near_branch_target())
            }
            None => Callee::Unknown,
        };
        self.body.calls.push(Call { callee, depth });
    }

    fn own(&self, address: u64) -> Callee {
        self.module
            .function_at(address)
            .map_or(Callee::Unknown, Callee::Own)
    }

    /// What the relocation within a branch refers to; one on a memory operand names no code.
    fn relocated(&self, instruction: &Instruction) -> Option<&Target> {
        if instruction.op0_kind() != OpKind::NearBranch64 {
            return None;
        }
        self.branches
            .range(instruction.ip()..instruction.next_ip())
            .next()
            .map(|(_, target)| *target)
    }

    fn depth_after(&mut self, instruction: &Instruction, depth: u64) -> u64 {
        let to_rsp = instruction.op0_kind() == OpKind::Register
            && instruction.op0_register() == Register::RSP;
        match instruction.mnemonic() {
            Mnemonic::Push | Mnemonic::Pushfq => depth + 8,
            Mnemonic::Pop | Mnemonic::Popfq => depth.saturating_sub(8),
            Mnemonic::Sub | Mnemonic::Add if to_rsp => match instruction.try_immediate(1) {
                Ok(bytes) if instruction.mnemonic() == Mnemonic::Sub => {
                    depth.saturating_add_signed(bytes as i64)
                }
                Ok(bytes) => depth.saturating_sub(bytes),
                Err(_) => self.unbounded(instruction, depth),
            },
            Mnemonic::And if to_rsp => match instruction.try_immediate(1) {
                Ok(mask) => depth + (mask.wrapping_neg() - 1),
                Err(_) => self.unbounded(instruction, depth),
            },
            Mnemonic::Mov
                if instruction.op0_register() == Register::RBP
                    && instruction.op1_register() == Register::RSP =>
            {
                self.saved = Some(depth);
                depth
            }
            Mnemonic::Mov if to_rsp && instruction.op1_register() == Register::RBP => {
                self.saved.unwrap_or(depth)
            }
            Mnemonic::Lea if to_rsp && instruction.memory_base() == Register::RBP => {
                let below = (instruction.memory_displacement64() as i64).wrapping_neg();
                self.saved.unwrap_or(depth).saturating_add_signed(below)
            }
            Mnemonic::Lea if to_rsp && instruction.memory_base() == Register::RSP => {
                let below = (instruction.memory_displacement64() as i64).wrapping_neg();
                depth.saturating_add_signed(below)
            }
            Mnemonic::Leave => self.saved.unwrap_or(depth).saturating_sub(8),
            Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Xchg | Mnemonic::Enter if to_rsp => {
                self.unbounded(instruction, depth)
            }
            _ => depth,
        }
    }

    fn unbounded(&mut self, instruction: &Instruction, depth: u64) -> u64 {
        self.body.unbounded = Some(format!(
            "{:?} at {:#x} moves the stack by an unknown amount",
            instruction.mnemonic(),
            instruction.ip()
        ));
        depth
    }
}

fn float(instruction: &Instruction) -> Option<String> {
    let register = |register: Register| {
        register.is_vector_register()
            || register.is_mm()
            || register.is_st()
            || register.is_k()
            || register.is_tmm()
    };
    let touches = (0..instruction.op_count()).any(|operand| {
        instruction.op_kind(operand) == OpKind::Register
            && register(instruction.op_register(operand))
    });
    let x87 = instruction.cpuid_features().iter().any(|feature| {
        matches!(
            feature,
            CpuidFeature::FPU | CpuidFeature::FPU287 | CpuidFeature::FPU387
        )
    });
    (touches || x87 || instruction.is_invalid())
        .then(|| format!("{:?} at {:#x}", instruction.mnemonic(), instruction.ip()))
}
