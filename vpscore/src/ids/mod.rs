// SPDX-License-Identifier: BSD-2-Clause
//! Which data carries an id across the boundary between program and kernel, and its translation.
