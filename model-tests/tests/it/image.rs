// SPDX-License-Identifier: BSD-2-Clause
//! The image format from outside: what is written is read, what is damaged is refused.

use model_tests::image::{Item, read, sample, write};
use vpscore::image::{FRAME_HEADER_LEN, Fault, HEADER_LEN};

#[test]
fn sample_is_read_and_written_again_as_the_same_bytes() {
    let image = sample().expect("the sample is an image");
    let items = read(&image, usize::MAX).expect("and is read");
    assert!(matches!(items.first(), Some(Item::Header(_))));
    assert!(matches!(items.last(), Some(Item::End(_))));
    assert_eq!(write(&items).expect("and written"), image);
}

#[test]
fn pieces_of_any_size_give_the_same_events() {
    let image = sample().expect("sample");
    let whole = read(&image, usize::MAX).expect("whole");
    for piece in [1, 2, 3, 15, 16, 17, 47, 48, 49, 4096, 5000] {
        assert_eq!(read(&image, piece).expect("piecewise"), whole);
    }
}

#[test]
fn image_cut_anywhere_is_truncated() {
    let image = sample().expect("sample");
    for end in telling(&image) {
        let error = read(&image[..end], usize::MAX).expect_err("cut");
        assert_eq!(error.fault, Fault::Truncated, "cut at {end}");
    }
}

#[test]
fn image_with_any_one_byte_altered_is_refused() {
    let mut image = sample().expect("sample");
    for at in telling(&image) {
        let bit = 1 << (at % 8);
        image[at] ^= bit;
        assert!(read(&image, usize::MAX).is_err(), "byte {at}");
        image[at] ^= bit;
    }
}

/// The offsets of an image, but few of those inside long runs of one byte, which pages and streams
/// of the sample are.
fn telling(image: &[u8]) -> Vec<usize> {
    let run = |at: usize| {
        let around = at.checked_sub(16).and_then(|from| image.get(from..at + 16));
        around.is_some_and(|around| around.iter().all(|b| *b == image[at]))
    };
    (0..image.len())
        .filter(|at| at % 101 == 0 || !run(*at))
        .collect()
}

#[test]
fn bytes_after_the_trailer_are_refused() {
    let mut image = sample().expect("sample");
    image.push(0);
    let error = read(&image, usize::MAX).expect_err("trailing");
    assert_eq!(error.fault, Fault::Trailing);
}

#[test]
fn declared_length_is_not_allocated_before_it_arrives() {
    let image = sample().expect("sample");
    let mut bytes = image[..HEADER_LEN].to_vec();
    bytes.extend([0x10, 0, 0, 0, 1, 0, 0, 0]);
    bytes.extend(u32::MAX.to_le_bytes());
    bytes.extend([0; 4]);
    assert_eq!(bytes.len(), HEADER_LEN + FRAME_HEADER_LEN);
    let error = read(&bytes, usize::MAX).expect_err("too long");
    assert_eq!(error.fault, Fault::FrameLength(u32::MAX));
}

#[test]
fn published_document_and_schema_are_those_of_the_code() {
    use model_tests::format::{TABLES_BEGIN, cddl, tables};
    let hint = "cargo run -p model-tests --example format";
    assert_eq!(
        include_str!("../../../docs/image-format.cddl"),
        cddl(),
        "{hint}"
    );
    let document = include_str!("../../../docs/image-format.md");
    let (_, published) = document.split_once(TABLES_BEGIN).expect("mark");
    assert_eq!(published.trim(), tables().trim(), "{hint}");
}

#[test]
fn golden_image_is_still_read_and_still_written() {
    let golden = include_bytes!("../../golden/sample-v1.vps");
    let shown = include_str!("../../golden/sample-v1.txt");
    let read = model_tests::image::diagnostic(golden).expect("the golden image is read");
    assert_eq!(read, shown);
    assert_eq!(sample().expect("sample"), golden);
}

#[test]
fn every_kind_of_record_is_in_the_sample() {
    use vpscore::image::KINDS;
    let items = read(&sample().expect("sample"), usize::MAX).expect("read");
    for info in KINDS {
        let found = items
            .iter()
            .any(|i| matches!(i, Item::Object(_, o) if o.kind() == info.kind));
        assert!(found, "{}", info.name);
    }
}

proptest::proptest! {
    #[test]
    fn a_forged_image_is_refused_or_written_again_as_it_was(
        alterations in proptest::collection::vec(proptest::array::uniform6(proptest::num::u8::ANY), 0..6),
    ) {
        let input = [&[1], alterations.concat().as_slice()].concat();
        model_tests::fuzz::image::image_decode(&input);
    }
}
