// SPDX-License-Identifier: BSD-2-Clause
//! The snapshot image: frames, records, reader and writer.
