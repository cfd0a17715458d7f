// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces: map entries, anonymous objects with copy-on-write, dirty tracking.
