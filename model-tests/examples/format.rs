// SPDX-License-Identifier: BSD-2-Clause
//! Writes the tables of `docs/image-format.md`, `docs/image-format.cddl` and the golden image anew,
//! from the code. Run in the workspace root when the schema has changed on purpose.

use model_tests::format::{TABLES_BEGIN, cddl, tables};
use std::fs;

fn main() -> std::io::Result<()> {
    let path = "docs/image-format.md";
    let text = fs::read_to_string(path)?;
    let begin = text.find(TABLES_BEGIN).expect("the document has its mark");
    let front = &text[..begin + TABLES_BEGIN.len()];
    fs::write(path, format!("{front}\n{}", tables()))?;
    fs::write("docs/image-format.cddl", cddl())?;
    let image = model_tests::image::sample().expect("the sample is an image");
    fs::write("model-tests/golden/sample-v1.vps", &image)?;
    let shown = model_tests::image::diagnostic(&image).expect("and is read");
    fs::write("model-tests/golden/sample-v1.txt", shown)
}
