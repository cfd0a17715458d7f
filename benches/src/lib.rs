// SPDX-License-Identifier: BSD-2-Clause
//! What the benches share. The benches themselves are in `benches/`, one file a subject; each
//! states its sizes, its key distribution and what a worse figure would mean.
