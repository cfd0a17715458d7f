// SPDX-License-Identifier: BSD-2-Clause
//! Checkers that keep their own record of the truth.
