// SPDX-License-Identifier: BSD-2-Clause
//! priv(9) sets per instance: allow, deny, nosys.
