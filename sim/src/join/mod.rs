// SPDX-License-Identifier: BSD-2-Clause
//! Where the emulated kernel meets the core; the only code here that names both.
