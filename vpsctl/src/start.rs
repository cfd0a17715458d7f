// SPDX-License-Identifier: BSD-2-Clause
//! Where the kernel starts a program, and how it ends by panic.

use core::ffi::CStr;

/// The arguments and environment that the kernel has put on the stack.
#[derive(Clone, Copy)]
pub struct Args {
    count: usize,
    first: *const *const u8,
}

impl Args {
    /// Takes them from the stack that the program started with: a count, that many pointers, null,
    /// the environment, null.
    ///
    /// # Safety
    /// `stack` is what `rdi` holds at the entry point (`exec_setregs`, amd64), and the memory
    /// is as the kernel left it.
    pub unsafe fn new(stack: *const usize) -> Self {
        // SAFETY: the caller's duty.
        unsafe {
            Self {
                count: *stack,
                first: stack.add(1).cast(),
            }
        }
    }

    /// The argument at `index`; 0 is the program's name.
    pub fn get(&self, index: usize) -> Option<&'static CStr> {
        if index >= self.count {
            return None;
        }
        // SAFETY: one of the `count` pointers to strings, which stay as long as the process.
        unsafe { Some(CStr::from_ptr((*self.first.add(index)).cast())) }
    }

    /// The argument at `index` as text.
    pub fn text(&self, index: usize) -> Option<&'static str> {
        self.get(index)?.to_str().ok()
    }

    /// The pointers from `index` on, with the null at the end: what `execve(2)` takes.
    pub fn rest(&self, index: usize) -> &'static [*const u8] {
        let index = index.min(self.count);
        // SAFETY: the pointers up to and with the null behind the last lie there.
        unsafe { core::slice::from_raw_parts(self.first.add(index), self.count - index + 1) }
    }

    /// The environment's pointers.
    pub fn environment(&self) -> *const *const u8 {
        // SAFETY: it begins behind the null that ends the arguments.
        unsafe { self.first.add(self.count + 1) }
    }
}

/// Declares the program's entry: a function from [`Args`] to the exit status.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[cfg(target_os = "none")]
        core::arch::global_asm!(
            ".globl _start",
            "_start:",
            "xor %ebp, %ebp",
            "and $-16, %rsp",
            "call vpsctl_start",
            options(att_syntax)
        );

        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn vpsctl_start(stack: *const usize) -> ! {
            // SAFETY: `_start` passes on what it was started with.
            let args = unsafe { $crate::start::Args::new(stack) };
            $crate::sys::exit($main(args))
        }

        #[cfg(not(target_os = "none"))]
        extern crate std;

        #[cfg(not(target_os = "none"))]
        fn main() {
            let _: fn($crate::start::Args) -> i32 = $main;
            std::println!("built for FreeBSD only: cargo xtask vpsctl");
        }
    };
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::complain!("{info}");
    crate::sys::exit(134)
}
