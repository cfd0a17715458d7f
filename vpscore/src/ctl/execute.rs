// SPDX-License-Identifier: BSD-2-Clause
//! Doing what a request asks.

use super::wire::{Answer, Entry, LifeState, Op, Request, VERSION};
use super::{ENTRIES_MAX, REQUEST_MAX};
use crate::cbor::{self, Encode, Encoder, Text, decode_all};
use crate::collections::{List, NoMemory};
use crate::errno::Errno;
use crate::instance::{Birth, LookupError, Name, NameError, State};
use crate::kpi::{Kpi, LockFamily};
use crate::limits::{PID_MAX, PID_MAX_LEAST};
use crate::state::{Core, InstanceReport, ManageError};
use crate::types::InstanceId;

/// Bytes in an answer without entries.
const PLAIN_ANSWER_LEN: usize = 16;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// More than [`REQUEST_MAX`] bytes.
    TooLong {
        /// How many.
        len: usize,
    },
    /// The bytes are no request.
    Malformed(cbor::Error),
    /// A version that is not spoken here.
    Version(u16),
    /// The path leads to no instance below the asker.
    Lookup(LookupError),
    /// The name of the new instance is none.
    Name(NameError),
    /// Nobody does this to their own instance; it is for one above to do.
    Own,
    /// The largest PID is out of bounds.
    PidMax(i32),
    /// The core or the kernel refused.
    Manage(ManageError),
    /// Memory was short.
    NoMemory,
}

impl Error {
    /// What the answer carries.
    pub fn errno(self) -> Errno {
        match self {
            Self::TooLong { .. } => Errno::E2BIG,
            Self::Malformed(error) => error.into(),
            Self::Version(_) => Errno::EOPNOTSUPP,
            Self::Lookup(error) => error.errno(),
            Self::Name(error) => error.errno(),
            Self::Own => Errno::EPERM,
            Self::PidMax(_) => Errno::EINVAL,
            Self::Manage(error) => error.errno(),
            Self::NoMemory => Errno::ENOMEM,
        }
    }
}

impl From<NoMemory> for Error {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Reads a request, does it, and writes the answer.
///
/// # Errors
/// [`NoMemory`] where there is none for an answer; nothing has been done then, but for a list,
/// which changes nothing.
pub fn serve<F: LockFamily, K: Kpi>(
    core: &Core<F>,
    kpi: &mut K,
    caller: InstanceId,
    request: &[u8],
) -> Result<List<u8>, NoMemory> {
    let mut out = List::with_capacity(PLAIN_ANSWER_LEN)?;
    let answer = parse(request).and_then(|request| execute(core, kpi, caller, &request));
    let answer = answer.unwrap_or_else(|error| {
        let errno = error.errno() as i32;
        Answer::plain(u16::try_from(errno).unwrap_or(u16::MAX))
    });
    answer.encode(&mut Encoder::new(&mut out))?;
    Ok(out)
}

fn parse(bytes: &[u8]) -> Result<Request, Error> {
    if bytes.len() > REQUEST_MAX {
        return Err(Error::TooLong { len: bytes.len() });
    }
    let request: Request = decode_all(bytes).map_err(Error::Malformed)?;
    if request.version != VERSION {
        return Err(Error::Version(request.version));
    }
    Ok(request)
}

/// Does what `caller`'s instance asks.
///
/// # Errors
/// [`Error`]; nothing has changed then (see I1 for destruction).
pub fn execute<F: LockFamily, K: Kpi>(
    core: &Core<F>,
    kpi: &mut K,
    caller: InstanceId,
    request: &Request,
) -> Result<Answer, Error> {
    let path = request.path.as_str();
    let below = || match core.lookup(caller, path.as_bytes()) {
        Ok(id) if id == caller => Err(Error::Own),
        Ok(id) => Ok(id),
        Err(error) => Err(Error::Lookup(error)),
    };
    match request.op {
        Op::List => return list(core, caller, request),
        Op::Show => {
            let id = core.lookup(caller, path.as_bytes());
            let id = id.map_err(Error::Lookup)?;
            let report = core.report(caller, id);
            let report = report.ok_or(Error::Lookup(LookupError::NotFound))?;
            let mut answer = Answer::plain(0);
            answer.entries.push(entry(&report)?)?;
            return Ok(answer);
        }
        Op::Create => {
            // Not rsplit_once: its search for a char is compiled with a panic path.
            let mut cut = path.as_bytes().rsplitn(2, |byte| *byte == b'.');
            let name = cut.next().unwrap_or_default();
            let parent = match cut.next() {
                Some(parent) => core.lookup(caller, parent).map_err(Error::Lookup)?,
                None => caller,
            };
            let name = Name::parse(name).map_err(Error::Name)?;
            let pid_max = request.pid_max.unwrap_or(PID_MAX);
            if !(PID_MAX_LEAST..=PID_MAX).contains(&pid_max) {
                return Err(Error::PidMax(pid_max));
            }
            core.instance_create(kpi, parent, name, Birth::Empty, pid_max)
                .map_err(Error::Manage)?;
        }
        Op::Destroy => core
            .instance_destroy(kpi, below()?)
            .map_err(Error::Manage)?,
        Op::Suspend => core
            .instance_suspend(kpi, below()?)
            .map_err(Error::Manage)?,
        Op::Resume => core.instance_resume(kpi, below()?).map_err(Error::Manage)?,
    }
    Ok(Answer::plain(0))
}

/// The instances at and below the path, after the one listed last.
fn list<F: LockFamily>(
    core: &Core<F>,
    caller: InstanceId,
    request: &Request,
) -> Result<Answer, Error> {
    let find = |path: &Text| {
        let id = core.lookup(caller, path.as_str().as_bytes());
        id.map_err(Error::Lookup)
    };
    let top = find(&request.path)?;
    let mut here = match &request.after {
        None => Some(top),
        Some(after) => {
            let after = find(after)?;
            // Only what is below the path was listed.
            if core.report(top, after).is_none() {
                return Err(Error::Lookup(LookupError::NotFound));
            }
            core.next_instance(top, after)
        }
    };
    let mut answer = Answer::plain(0);
    while let Some(id) = here {
        if answer.entries.len() >= ENTRIES_MAX {
            answer.more = true;
            break;
        }
        // One that has gone since it was reached is not there to be listed.
        if let Some(report) = core.report(caller, id) {
            answer.entries.push(entry(&report)?)?;
        }
        here = core.next_instance(top, id);
    }
    Ok(answer)
}

fn entry(report: &InstanceReport) -> Result<Entry, NoMemory> {
    Ok(Entry {
        path: Text::copy(report.path.as_str())?,
        state: match report.state {
            State::Created => LifeState::Created,
            State::Running => LifeState::Running,
            State::Suspending { .. } => LifeState::Suspending,
            State::Suspended { .. } => LifeState::Suspended,
            State::Snapshotting { .. } => LifeState::Snapshotting,
            State::Migrating { .. } => LifeState::Migrating,
            State::Restoring => LifeState::Restoring,
            State::Dying => LifeState::Dying,
            State::Dead => LifeState::Dead,
        },
        procs: u64::try_from(report.members).unwrap_or(u64::MAX),
        last_pid: report.last_pid,
        restores: report.restores,
        fenced: report.fenced,
    })
}
