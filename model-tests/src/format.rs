// SPDX-License-Identifier: BSD-2-Clause
//! The published schema of images, made from the code's own table.

use std::collections::BTreeSet;
use std::fmt::Write;
use vpscore::cbor::{Bound, FieldInfo, RecordInfo, SKIPPABLE, TypeInfo};
use vpscore::image::kind_info;
use vpscore::image::schema::{SCHEMA, inner_record};

/// The records of an image in the order of restore, each followed by those first used in it.
pub fn records() -> Vec<(Option<u16>, &'static RecordInfo)> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (kind, record) in SCHEMA {
        collect(Some(*kind), record, &mut seen, &mut all);
    }
    all
}

fn collect(
    kind: Option<u16>,
    record: &'static RecordInfo,
    seen: &mut BTreeSet<&'static str>,
    all: &mut Vec<(Option<u16>, &'static RecordInfo)>,
) {
    if !seen.insert(record.schema.name) {
        return;
    }
    all.push((kind, record));
    for inner in record.fields.iter().filter_map(inner_record) {
        collect(None, inner, seen, all);
    }
}

fn doc(lines: &[&str]) -> String {
    let text: String = lines.concat();
    text.trim().replace("[`", "`").replace("`]", "`")
}

/// The CDDL (RFC 8610) of every record.
pub fn cddl() -> String {
    let mut out = String::from(
        "; SPDX-License-Identifier: BSD-2-Clause\n\
         ; Records of a VPS image, version 1 (see image-format.md). Checked against the code.\n\n",
    );
    let mut kinds = Vec::new();
    for (kind, record) in SCHEMA {
        kinds.push(record.schema.name);
        writeln!(out, "; frame kind {kind:#06x}: {}", record.schema.name).expect("string");
    }
    writeln!(out, "\nrecord = {}", kinds.join(" / ")).expect("string");
    out.push_str("in-addr = bytes .size 4 / bytes .size 16\n");
    out.push_str("object = 1..4294967295\n");
    writeln!(
        out,
        "skippable = ({SKIPPABLE}..18446744073709551615 => any)\n"
    )
    .expect("string");
    let mut codes = BTreeSet::new();
    for (_, record) in records() {
        let name = record.schema.name;
        writeln!(out, "; {}\n{name} = {{", doc(record.doc)).expect("string");
        for field in record.fields {
            let mark = if field.optional { "? " } else { "" };
            let ty = field_cddl(field, &mut codes);
            writeln!(out, "  {mark}{}: {ty}, ; {}", field.key, field.name).expect("string");
        }
        out.push_str("  * skippable,\n}\n\n");
    }
    for code in codes {
        out.push_str(&code);
    }
    out
}

/// The type of a field within its bound; of bits CDDL says no more than the largest.
fn field_cddl(field: &FieldInfo, codes: &mut BTreeSet<String>) -> String {
    let whole = type_cddl(&field.ty, codes);
    let (least, most) = match (field.bound, field.ty) {
        (Some(Bound::Within(least, most)), TypeInfo::Uint(_)) => (least.max(0), most),
        (Some(Bound::Within(least, most)), _) => (least, most),
        (Some(Bound::Bits(bits)), _) => (0, bits),
        (None, _) => return whole,
    };
    match field.ty {
        TypeInfo::Uint(_) => format!("{least}..{most}"),
        TypeInfo::Int(low, high) => {
            let high = u64::try_from(high).unwrap_or_default();
            format!("{}..{}", least.max(low), most.min(high))
        }
        TypeInfo::Bytes => format!("bytes .size ({}..{most})", least.max(0)),
        TypeInfo::Array(item) => format!("[{}*{most} {}]", least.max(0), type_cddl(item, codes)),
        _ => whole,
    }
}

fn type_cddl(ty: &TypeInfo, codes: &mut BTreeSet<String>) -> String {
    match ty {
        TypeInfo::Bool => "bool".into(),
        TypeInfo::Uint(u64::MAX) => "uint".into(),
        TypeInfo::Uint(most) => format!("0..{most}"),
        TypeInfo::Int(least, most) => format!("{least}..{most}"),
        TypeInfo::Bytes => "bytes".into(),
        TypeInfo::BytesExactly(n) => format!("bytes .size {n}"),
        TypeInfo::Text => "text".into(),
        TypeInfo::InAddr => "in-addr".into(),
        TypeInfo::Ref(_) => "object".into(),
        TypeInfo::Record(record) => record.schema.name.into(),
        TypeInfo::Array(item) => format!("[* {}]", type_cddl(item, codes)),
        TypeInfo::ArrayExactly(item, n) => format!("[{n}*{n} {}]", type_cddl(item, codes)),
        TypeInfo::Code(name, variants) => {
            let names = variants
                .iter()
                .map(|(name, code)| format!("{name}: {code}"));
            let all: Vec<String> = names.collect();
            codes.insert(format!("{name} = &( {} )\n", all.join(", ")));
            (*name).into()
        }
    }
}

/// The tables of fields, as they stand in `docs/image-format.md`.
pub fn tables() -> String {
    let mut out = String::new();
    for (kind, record) in records() {
        let name = record.schema.name;
        match kind {
            Some(kind) => writeln!(out, "### {name} (kind {kind:#06x})\n").expect("string"),
            None => writeln!(out, "### {name}\n").expect("string"),
        }
        writeln!(out, "{}\n", doc(record.doc)).expect("string");
        out.push_str("| key | field | type | meaning |\n|---|---|---|---|\n");
        for field in record.fields {
            row(&mut out, field);
        }
        out.push('\n');
    }
    out
}

fn row(out: &mut String, field: &FieldInfo) {
    let optional = if field.optional { ", optional" } else { "" };
    let ty = format!("{}{}", type_words(&field.ty), bound_words(field));
    let meaning = doc(field.doc).replace('|', "\\|");
    writeln!(
        out,
        "| {} | `{}` | {ty}{optional} | {meaning} |",
        field.key, field.name
    )
    .expect("string");
}

/// What a kernel can have of the type.
fn bound_words(field: &FieldInfo) -> String {
    let (least, most) = match field.bound {
        None => return String::new(),
        Some(Bound::Bits(bits)) => return format!(", bits {bits:#x}"),
        Some(Bound::Within(least, most)) => (least, most),
    };
    let unit = match field.ty {
        TypeInfo::Bytes => " bytes",
        TypeInfo::Array(_) => " items",
        _ => "",
    };
    if least == i64::MIN {
        format!(", at most {most}{unit}")
    } else {
        format!(", {least} to {most}{unit}")
    }
}

fn type_words(ty: &TypeInfo) -> String {
    match ty {
        TypeInfo::Bool => "bool".into(),
        TypeInfo::Uint(most) => format!("u{}", 64 - most.leading_zeros()),
        TypeInfo::Int(_, most) => format!("i{}", 65 - most.leading_zeros()),
        TypeInfo::Bytes => "bytes".into(),
        TypeInfo::BytesExactly(n) => format!("{n} bytes"),
        TypeInfo::Text => "text".into(),
        TypeInfo::InAddr => "address".into(),
        TypeInfo::Ref(None) => "any object".into(),
        TypeInfo::Ref(Some(kind)) => {
            kind_info(*kind).map_or_else(String::new, |k| format!("→ {}", k.name))
        }
        TypeInfo::Record(record) => record.schema.name.into(),
        TypeInfo::Array(item) => format!("list of {}", type_words(item)),
        TypeInfo::ArrayExactly(item, n) => format!("{n} of {}", type_words(item)),
        TypeInfo::Code(_, variants) => {
            let names = variants.iter().map(|(name, code)| format!("{code} {name}"));
            names.collect::<Vec<_>>().join(", ")
        }
    }
}

/// What stands before the tables in the document.
pub const TABLES_BEGIN: &str =
    "<!-- tables: made by `cargo run -p model-tests --example format` -->\n";
