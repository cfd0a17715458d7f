// SPDX-License-Identifier: BSD-2-Clause
//! Why an instance was not moved, as a sentence for who wrote the scenario.

use vpscore::migrate::Reason;
use vpscore::net::RemapError;
use vpscore::sock::{InAddr, Rule};
use vpscore::state::ManageError;

use crate::join::capture::CaptureError;
use crate::join::net::error::{self, Unmovable};
use crate::join::net::moved::MoveError;
use crate::join::net::values::ip_addr;
use crate::join::restore::RestoreError;

fn addr(addr: InAddr) -> String {
    ip_addr(addr).to_string()
}

/// Why the addresses cannot be had.
pub fn remap(why: RemapError) -> String {
    match why {
        RemapError::NoMemory => "memory is short".into(),
        RemapError::TooMany => "there are too many addresses".into(),
        RemapError::Order(at) => format!("{} is named twice", addr(at)),
        RemapError::Twice(to) => format!("two addresses become {}", addr(to)),
        RemapError::Family(at) => format!("{} becomes an address of the other IP", addr(at)),
        RemapError::Special(at) => format!("{} is no address of a host", addr(at)),
        RemapError::Mask(at) => {
            format!(
                "{} has a mask in which it is no address of a host",
                addr(at)
            )
        }
        RemapError::Router(at) => format!(
            "the router {} is no neighbour of the new address, or is an address of the instance",
            addr(at)
        ),
        RemapError::NotOwn(at) => format!("it has no address {}", addr(at)),
        RemapError::Ambiguous(at) => format!("two of its interfaces have {}", addr(at)),
        RemapError::Taken(to) => format!("another of its interfaces has {}", addr(to)),
        RemapError::Peer(to) => format!(
            "it has a connection with {}, which it would become",
            addr(to)
        ),
        RemapError::Gateway(at) => format!(
            "its way out by {} is not in the new network: name a `router` there",
            addr(at)
        ),
        RemapError::Signed(_) => {
            "a connection is signed with MD5, and no translation can stand before it".into()
        }
    }
}

/// What a migration that was refused or aborted was refused for.
pub fn reason(why: Reason) -> &'static str {
    match why {
        Reason::Operator => "an operator said so",
        Reason::Deadline => "a phase took longer than its budget",
        Reason::NotConverging => "memory was written faster than it could be sent",
        Reason::StopFailed => "its threads did not stop in time",
        Reason::SourceFailed => "the source could not go on",
        Reason::TargetFailed => "the target could not go on",
        Reason::Version => "the hosts have no version of the protocol in common",
        Reason::Abi => "the target cannot run its programs",
        Reason::Feature => "it uses what the target has not",
        Reason::Resources => "the target has not the room for it, or is not there",
        Reason::Exists => "its name is taken on the target",
        Reason::Mismatch => "what arrived is not what was sent",
        Reason::Unknown => "the other side knows nothing of the migration",
        Reason::TargetLost => "the target lost what it had",
    }
}

/// Why the migration cannot begin.
pub fn begun(why: ManageError) -> String {
    match why {
        ManageError::State(_) => "it is being moved already, or is not running".into(),
        other => format!("the kernel answers {}", other.errno()),
    }
}

fn unmovable(what: Unmovable) -> String {
    match what {
        Unmovable::NoMemory => "memory is short".into(),
        Unmovable::Interface(index) => {
            format!("its interface {} is of a kind that does not move", index.0)
        }
        Unmovable::Route(index) => format!(
            "a route of it leaves by interface {}, which does not move",
            index.0
        ),
        Unmovable::Socket(so) => format!("socket {} belongs to nobody", so.0),
        Unmovable::Census(so, rule) => {
            let whose = so.map_or("a connection that is asked for".into(), |so| {
                format!("socket {}", so.0)
            });
            let rule = match rule {
                Rule::Address => "its address is gone",
                Rule::Ends => "another has the same ends",
                Rule::Listener => "it waits at what is no listener",
                _ => return format!("{whose} could stand on no host: {rule:?}"),
            };
            format!("{whose} could stand on no host: {rule}")
        }
    }
}

/// Why its network stacks cannot be moved, or not with the addresses.
pub fn stacks(why: &MoveError) -> String {
    match why {
        MoveError::Remap(why) => remap(*why),
        MoveError::Capture(error::CaptureError::Unmovable(_, what)) => unmovable(*what),
        other => format!("its network cannot be written: {other:?}"),
    }
}

/// Why the source cannot write it.
pub fn capture(why: &CaptureError) -> String {
    match why {
        CaptureError::NoInstance(_) => "it is not there".into(),
        CaptureError::Net(error::CaptureError::Unmovable(_, what)) => unmovable(*what),
        CaptureError::GroupOutside(..) => "a process is in a group of a process outside".into(),
        CaptureError::SessionOutside(..) => "a process is in a session of a process outside".into(),
        CaptureError::FileOutside(_, fd) => {
            format!("descriptor {fd} of a process is open outside too")
        }
        CaptureError::PipeOutside(_, fd) => {
            format!("the pipe at descriptor {fd} of a process leads outside")
        }
        CaptureError::Socket(_, fd) => {
            format!("descriptor {fd} of a process is a socket of the host")
        }
        CaptureError::MemoryOutside(_, at) => {
            format!("the memory of a process at {at:#x} is shared with one outside")
        }
        CaptureError::VmspaceOutside(_) => "a process shares its memory with one outside".into(),
        other => format!("it cannot be written: {other:?}"),
    }
}

/// Why the target does not take it.
pub fn restore(why: &RestoreError) -> String {
    match why {
        RestoreError::Remap(why) => remap(*why),
        other => format!("the target does not take it: {other:?}"),
    }
}
