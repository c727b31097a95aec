//! A bar for each subject: nanoseconds of one thread at the works that each allocator does alone.

use super::contest::Who;
use super::draw::{WIDTH, below_title, picture, text};
use super::style::Styles;
use super::words::plain;
use crate::args::{Kind, Work};
use crate::median::median;
use crate::results::{Key, Results};
use anyhow::Result;
use plotters::prelude::*;

/// What they show.
pub const TITLE: &str = "one thread: nanoseconds for a pair of allocation and free";

const WORKS: [Work; 3] = [Work::Churn, Work::Threadtest, Work::Larson];

/// Pixels of a row, of the names, and of a figure beside a bar.
const ROW: u32 = 22;
const NAMES: u32 = 116;
const FIGURE: f64 = 56.0;
/// Times the median from which on a bar is cut, so that the others can be compared.
const CUT: f64 = 4.0;

/// What the bars show.
pub struct Bars<'r> {
    subjects: Vec<&'r str>,
    /// Nanoseconds of each of them, who took part.
    works: Vec<(String, Vec<Option<f64>>)>,
}

impl<'r> Bars<'r> {
    /// `None`: there is nobody to compare.
    pub fn of(results: &'r Results) -> Option<Bars<'r>> {
        let keys = WORKS.map(|work| Key::new(work, Kind::Threads, 1));
        let mut subjects: Vec<&str> = Vec::new();
        for row in results.rows.iter().filter(|it| keys.contains(&it.key)) {
            if !subjects.contains(&&*row.subject) {
                subjects.push(&row.subject);
            }
        }
        let of_work = |key: Key| {
            let figure = |it: &&str| Some(results.row(&key, it)?.median());
            let figures: Vec<Option<f64>> = subjects.iter().map(figure).collect();
            (key.work, figures)
        };
        let mut works: Vec<_> = keys.into_iter().map(of_work).collect();
        works.retain(|it| it.1.iter().any(Option::is_some));
        (!works.is_empty()).then_some(Bars { subjects, works })
    }

    /// The picture.
    pub fn draw(&self, styles: &Styles<'_>) -> Result<String> {
        let rows = self.subjects.len() as u32;
        let width = (WIDTH - NAMES) / self.works.len() as u32;
        let scale = |(_, figures): &(String, Vec<Option<f64>>)| Scale::of(figures, width);
        let scales: Vec<Scale> = self.works.iter().map(scale).collect();
        picture(TOP + (rows + 2) * ROW, |area| {
            let area = below_title(area, TITLE)?;
            let left = |work: usize| (NAMES + work as u32 * width) as i32;
            for (at, (name, _)) in self.works.iter().enumerate() {
                area.draw_text(name, &text(14), (left(at), 2))?;
            }
            for (at, subject) in self.subjects.iter().enumerate() {
                let top = ((at + 1) as u32 * ROW + 4) as i32;
                area.draw_text(subject, &text(13), (14, top))?;
                let style = styles.style(subject);
                let paint = if Who::is(subject) == Who::Ours { 1.0 } else { 0.55 };
                for (work, (_, figures)) in self.works.iter().enumerate() {
                    let Some(figure) = figures[at] else { continue };
                    let bar = scales[work].bar(figure);
                    let (x, end) = (left(work), left(work) + bar.pixels);
                    let corners = [(x, top), (end, top + ROW as i32 - 6)];
                    area.draw(&Rectangle::new(corners, style.color.mix(paint).filled()))?;
                    if bar.is_cut {
                        let slit = [(end - 14, top), (end - 10, top + ROW as i32 - 6)];
                        area.draw(&Rectangle::new(slit, WHITE.filled()))?;
                    }
                    area.draw_text(&plain(figure), &text(12), (end + 6, top))?;
                }
            }
            Ok(())
        })
    }
}

/// Pixels above the rows.
const TOP: u32 = 36;

/// How long bars are.
struct Scale {
    longest: f64,
    pixels: f64,
}

/// Of a figure.
#[derive(PartialEq, Debug)]
struct Bar {
    pixels: i32,
    is_cut: bool,
}

impl Scale {
    fn of(figures: &[Option<f64>], width: u32) -> Scale {
        let figures = || figures.iter().flatten().copied();
        let most = figures().fold(0.0, f64::max);
        let longest = most.min(CUT * median(figures())).max(f64::MIN_POSITIVE);
        Scale { longest, pixels: f64::from(width) - FIGURE }
    }

    fn bar(&self, figure: f64) -> Bar {
        let pixels = figure.min(self.longest) / self.longest * self.pixels;
        Bar { pixels: pixels.round() as i32, is_cut: figure > self.longest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_much_longer_than_the_others_is_cut() {
        let figures = [Some(10.0), Some(20.0), None, Some(30.0), Some(800.0)];
        let scale = Scale::of(&figures, 156);
        assert_eq!(scale.bar(800.0), Bar { pixels: 100, is_cut: true });
        assert_eq!(scale.bar(25.0), Bar { pixels: 25, is_cut: false });
        let scale = Scale::of(&figures[..4], 156);
        assert_eq!(scale.bar(30.0), Bar { pixels: 100, is_cut: false });
    }
}
