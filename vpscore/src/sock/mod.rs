// SPDX-License-Identifier: BSD-2-Clause
//! Kernel-neutral state of sockets, TCP with all that a tcpcb needs to go on.
