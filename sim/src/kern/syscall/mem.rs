// SPDX-License-Identifier: BSD-2-Clause
//! Calls about memory (`sys/vm/vm_mmap.c`, `vm_unix.c`, 15.0).

use super::{Call, Outcome};
use crate::errno::Errno;
use crate::guest::consts::sys;
use crate::kern::Kern;
use crate::vm::{Inherit, PAGE_SIZE, Prot, VmError};

/// `MAP_SHARED`
const MAP_SHARED: u64 = 0x1;
/// `MAP_FIXED`
const MAP_FIXED: u64 = 0x10;
/// `MAP_ANON`
const MAP_ANON: u64 = 0x1000;

impl Kern {
    pub(super) fn mem_call(&mut self, code: u32, call: &mut Call<'_>) -> Outcome {
        let [a, b, c, d, ..] = call.args;
        let Some(view) = self.view(call.p) else {
            return Outcome::Err(Errno::ESRCH);
        };
        let (space, objects) = (view.space, view.objects);
        let result = match code {
            // break(2) says EINVAL and ENOMEM as mmap does.
            sys::SYS_BREAK => space.set_break(objects, a).map(|()| 0),
            sys::SYS_MUNMAP => space.unmap(objects, a, b).map(|()| 0),
            sys::SYS_MPROTECT => {
                let (start, len) = page_range(a, b);
                space
                    .protect(objects, start, len, Prot::from_bits(c))
                    .map(|()| 0)
            }
            sys::SYS_MINHERIT => {
                let inherit = match c {
                    0 => Inherit::Share,
                    1 => Inherit::Copy,
                    2 => Inherit::None,
                    _ => return Outcome::Err(Errno::EINVAL),
                };
                let (start, len) = page_range(a, b);
                space.set_inherit(objects, start, len, inherit).map(|()| 0)
            }
            _ => {
                // Files cannot be mapped: only anonymous memory is had.
                if d & MAP_ANON == 0 || c & !7 != 0 {
                    return Outcome::Err(Errno::EINVAL);
                }
                let inherit = if d & MAP_SHARED == 0 {
                    Inherit::Copy
                } else {
                    Inherit::Share
                };
                let place = if d & MAP_FIXED == 0 {
                    space.find_space(a, b)
                } else {
                    space.unmap(objects, a, b).map(|()| a)
                };
                place.and_then(|at| {
                    space
                        .map_at(objects, at, b, Prot::from_bits(c), inherit)
                        .map(|_| at)
                })
            }
        };
        result.map_err(VmError::errno).into()
    }
}

/// The pages that a range of bytes touches.
fn page_range(at: u64, len: u64) -> (u64, u64) {
    let offset = at % PAGE_SIZE;
    (at - offset, len.saturating_add(offset))
}
