// SPDX-License-Identifier: BSD-2-Clause
//! Hierarchical accounting and limits.
