// SPDX-License-Identifier: BSD-2-Clause
//! The progress bar of long runs. It takes the line that the terminal has: a longer one would wrap, and leave its
//! first half behind each time that it is drawn again.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that shows how many of `len` are done, with `what` behind the numbers: a few columns of text, in which
/// `{elapsed}` stands for the real time that has passed.
pub(crate) fn bar(len: u64, what: &str) -> ProgressBar {
    let template = format!("{{wide_bar}} {{pos}}/{{len}} {what}");
    let style = ProgressStyle::with_template(&template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::bar;
    use indicatif::{ProgressDrawTarget, TermLike};
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal that keeps what is written to it.
    #[derive(Clone, Debug)]
    struct Paper(u16, Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            self.0
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.1.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.1.lock().unwrap().clear();
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_keeps_to_one_line_of_the_terminal() {
        for (what, len) in [("virtual ms", 30_000), ("scripts, {elapsed}", 702)] {
            for width in [40, 59, 60, 80, 200] {
                let paper = Paper(width, Arc::default());
                let bar = bar(len, what);
                bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(paper.clone())));
                bar.set_position(len / 2);
                bar.force_draw();
                let drawn = paper.1.lock().unwrap().trim_end().to_owned();
                assert!(drawn.contains(&format!("{}/{len}", len / 2)), "{drawn:?}");
                assert!(
                    drawn.chars().count() <= usize::from(width),
                    "{width}: {drawn:?}"
                );
            }
        }
    }
}
