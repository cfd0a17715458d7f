// SPDX-License-Identifier: BSD-2-Clause
//! `vpsim`: runs emulated worlds, and packetdrill scripts against the emulated stack.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::cli::main()
}
