// SPDX-License-Identifier: BSD-2-Clause
//! Who sees and may act on whom.
