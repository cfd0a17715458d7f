// SPDX-License-Identifier: BSD-2-Clause
//! Runs packetdrill scripts against an emulated stack in virtual time.
