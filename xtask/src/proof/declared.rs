// SPDX-License-Identifier: BSD-2-Clause
//! What is declared by hand: `kmod-adapter/symbols.allow` and `kmod-adapter/stack.allow`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::module::Arch;

/// The reviewed lists.
#[derive(Default)]
pub(crate) struct Declared {
    /// Kernel symbols and the header each is declared in.
    pub(crate) symbols: BTreeMap<String, String>,
    /// Functions with indirect calls, and where those lead: `kernel`, or functions of the module.
    pub(crate) indirect: BTreeMap<String, Vec<String>>,
    /// Functions that call themselves, directly or not, and how deep at most.
    pub(crate) recursion: BTreeMap<String, u64>,
    /// Bytes of stack that the deepest chain may take.
    pub(crate) ceiling: u64,
}

impl Declared {
    pub(crate) fn read(arch: Arch) -> Result<Self> {
        let mut declared = Self::default();
        each_line("kmod-adapter/symbols.allow", |words| {
            match words {
                [symbol, header] => {
                    declared.symbols.insert(symbol.clone(), header.clone());
                }
                [symbol, header, only] if only.starts_with("only=") => {
                    if only.strip_prefix("only=") == Some(arch.name()) {
                        declared.symbols.insert(symbol.clone(), header.clone());
                    }
                }
                _ => bail!("expected `symbol header [only=ARCH]`"),
            }
            Ok(())
        })?;
        each_line("kmod-adapter/stack.allow", |words| {
            match words {
                [kind, function, targets @ ..] if kind == "indirect" && !targets.is_empty() => {
                    declared.indirect.insert(function.clone(), targets.to_vec());
                }
                [kind, function, depth] if kind == "recursion" => {
                    declared.recursion.insert(function.clone(), depth.parse()?);
                }
                [kind, bytes] if kind == "ceiling" => declared.ceiling = bytes.parse()?,
                _ => bail!(
                    "expected `ceiling BYTES`, `indirect FUNCTION TARGET...` or `recursion FUNCTION DEPTH`"
                ),
            }
            Ok(())
        })?;
        Ok(declared)
    }
}

/// Calls `f` with the words of every line that is not empty or a comment.
fn each_line(file: &str, mut f: impl FnMut(&[String]) -> Result<()>) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if !words.is_empty() {
            f(&words).with_context(|| format!("{file}:{}", number + 1))?;
        }
    }
    Ok(())
}
