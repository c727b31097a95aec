//! How a subject is drawn: by the same colour and mark in each plot.

use super::contest::Who;
use crate::results::Row;
use plotters::style::RGBColor;

/// Colours that are told apart by the colour-blind as well: M. Okabe, K. Ito, "Color Universal Design", 2008; but
/// instead of their yellow, which cannot be seen on white, three dark ones of P. Tol, "Colour Schemes", 2021.
const PEERS: [RGBColor; 8] = [
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(153, 153, 51),
    RGBColor(51, 34, 136),
    RGBColor(136, 34, 85),
];
const PRIVATE: RGBColor = RGBColor(213, 94, 0);
const PUBLISHED: RGBColor = RGBColor(0, 114, 178);
const CONTROL: RGBColor = RGBColor(120, 120, 120);

/// Corners of a mark, in pixels from its middle.
pub type Mark = &'static [(i32, i32)];

const MARKS: [Mark; 5] = [
    &[(-3, -3), (3, -3), (3, 3), (-3, 3)],
    &[(0, -5), (4, 3), (-4, 3)],
    &[(0, -5), (5, 0), (0, 5), (-5, 0)],
    &[(0, 5), (4, -3), (-4, -3)],
    &[(-5, -2), (5, -2), (5, 2), (-5, 2)],
];
/// Nearly a disc: ours alone.
const DISC: Mark = &[(-2, -5), (2, -5), (5, -2), (5, 2), (2, 5), (-2, 5), (-5, 2), (-5, -2)];

/// How a subject is drawn.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Style {
    pub color: RGBColor,
    pub mark: Mark,
    /// Pixels.
    pub width: u32,
    pub is_dashed: bool,
    /// What is drawn later lies above.
    pub layer: u8,
}

/// Of all subjects of a file of results.
pub struct Styles<'r> {
    peers: Vec<&'r str>,
}

impl<'r> Styles<'r> {
    /// Peers have colours in the order in which they appear.
    pub fn of(rows: &'r [Row]) -> Styles<'r> {
        let mut peers = Vec::new();
        for row in rows.iter().filter(|it| Who::is(&it.subject) == Who::Peer) {
            if !peers.contains(&&*row.subject) {
                peers.push(&*row.subject);
            }
        }
        Styles { peers }
    }

    pub fn style(&self, subject: &str) -> Style {
        match Who::is(subject) {
            Who::Ours => {
                let color = if subject.starts_with("private") { PRIVATE } else { PUBLISHED };
                let is_dashed = subject.contains('-');
                Style { color, mark: DISC, width: 4, is_dashed, layer: 2 }
            }
            Who::Control => {
                Style { color: CONTROL, mark: &[], width: 1, is_dashed: true, layer: 0 }
            }
            Who::Peer => {
                let at = self.peers.iter().position(|it| *it == subject).unwrap_or(0);
                let (color, mark) = (PEERS[at % PEERS.len()], MARKS[at % MARKS.len()]);
                Style { color, mark, width: 2, is_dashed: false, layer: 1 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Kind, Work};
    use crate::page::contest::tests::row;
    use crate::results::Key;

    #[test]
    fn no_two_subjects_look_alike_and_ours_lie_above() {
        let key = Key::new(Work::Churn, Kind::Threads, 1);
        let peers: Vec<String> = (0..12).map(|it| format!("peer {it}")).collect();
        let ours = ["private", "private-tls", "published", "published-tls", "noop"];
        let all: Vec<&str> = ours.into_iter().chain(peers.iter().map(String::as_str)).collect();
        let rows: Vec<Row> = all.iter().map(|it| row(&key, it, &[1.0])).collect();
        let styles = Styles::of(&rows);
        let looks: Vec<Style> = all.iter().map(|it| styles.style(it)).collect();
        for (at, look) in looks.iter().enumerate() {
            assert!(!looks[..at].contains(look), "{}", all[at]);
        }
        assert!(looks[..4].iter().all(|of_ours| {
            looks[4..]
                .iter()
                .all(|of_peer| of_ours.layer > of_peer.layer && of_ours.width > of_peer.width)
        }));
    }
}
