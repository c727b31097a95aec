//! All figures of a work, folded.

use super::contest::{Contest, OfWork, PARTS, is_sum, sizes, tail_of};
use super::words::{Table, case, figure, nanoseconds};
use crate::results::Row;

/// What stands in a cell.
pub const CELL: &str = "Each cell: the median of the rounds; then the best round, the spread (the worst \
    less the best, by the median), and the ratio to the best peer there, as the median of the rounds' \
    ratios.";

/// As Markdown.
pub fn text(work: &OfWork<'_>) -> String {
    let contests = work.contests();
    let says = match work.says() {
        says if says.is_empty() => says,
        says => format!(": {}", escaped(&says)),
    };
    let name = escaped(work.name);
    let mut text = format!("<details>\n<summary><b>{name}</b>{says}</summary>\n\n");
    for of_kind in contests.chunk_by(|a, b| a.key.kind == b.key.kind) {
        text += &figures(of_kind);
    }
    for contest in sizes(&contests).into_iter().filter_map(|it| tail_of(&contests, it)) {
        text += &format!("{}: what such a part takes at most.\n\n", case(contest.key));
        text += &quantiles(contest);
    }
    text + "</details>\n\n"
}

/// A row for each subject, a column for each case.
fn figures(contests: &[Contest<'_>]) -> String {
    let cases = contests.iter().map(|it| case(it.key));
    let header: Vec<String> = ["subject".to_owned()].into_iter().chain(cases).collect();
    let mut table = Table::new(1, &header);
    let mut subjects: Vec<&str> = Vec::new();
    for row in contests.iter().flat_map(|it| &it.rows) {
        if !subjects.contains(&&*row.subject) {
            subjects.push(&row.subject);
        }
    }
    for subject in subjects {
        let of = |it: &Contest<'_>| it.row(subject).map_or(String::new(), |row| cell(row, it));
        let cells = contests.iter().map(of);
        let cells: Vec<String> = [subject.to_owned()].into_iter().chain(cells).collect();
        table.row(&cells);
    }
    table.text()
}

fn cell(row: &Row, contest: &Contest<'_>) -> String {
    let median = row.median();
    let spread = 100.0 * (row.max() - row.min()) / median.abs();
    let mut also = format!("min {}", figure(row.min(), row.unit));
    if spread.is_finite() {
        also += &format!(" · {spread:.0} %");
    }
    if let Some(best) = contest.best_peer() {
        also += &format!(" · {:.2}", row.ratio(best));
    }
    format!("{}<br><sub>{also}</sub>", figure(median, row.unit))
}

fn quantiles(contest: &Contest<'_>) -> String {
    let header: Vec<&str> = ["subject"].into_iter().chain(PARTS.map(|it| it.1)).collect();
    let mut table = Table::new(1, &header);
    for row in contest.rows.iter().filter(|it| !is_sum(it)) {
        let of = |(part, _)| row.quantile(part).map_or(String::new(), |it| nanoseconds(it as f64));
        let cells: Vec<String> = [row.subject.clone()].into_iter().chain(PARTS.map(of)).collect();
        table.row(&cells);
    }
    table.text()
}

/// For a line of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Kind, Work};
    use crate::latency::Latencies;
    use crate::page::contest::{by_work, tests::row};
    use crate::results::{Key, Sample, Unit};

    #[test]
    fn a_cell_has_median_least_spread_and_the_ratio_to_the_best_peer() {
        let key = |members| Key::new(Work::Churn, Kind::Threads, members);
        let rows = [
            row(&key(1), "published", &[4.0, 8.0, 5.0]),
            row(&key(1), "glibc", &[8.0, 16.0, 10.0]),
            row(&key(2), "glibc", &[1.0, 1.0, 1.0]),
        ];
        let text = text(&by_work(&rows)[0]);
        assert!(text.contains("| subject | 1 thread | 2 threads |"), "{text}");
        let ours = "| published | 5.00 ns<br><sub>min 4.00 ns · 80 % · 0.50</sub> |  |";
        assert!(text.contains(ours), "{text}");
    }

    #[test]
    fn a_work_that_nobody_knows_is_shown_all_the_same() {
        let key = Key { work: "jug<gle".into(), ..Key::new(Work::Find, Kind::Threads, 1) };
        let rows = [row(&key.of_size(70), "somebody", &[0.0])];
        let text = text(&by_work(&rows)[0]);
        assert!(text.contains("<b>jug&lt;gle</b></summary>"), "{text}");
        assert!(text.contains("| subject | 1 thread, size 70 |"), "{text}");
        assert!(text.contains("| somebody | 0.00 ns<br><sub>min 0.00 ns"), "{text}");
    }

    #[test]
    fn latencies_have_their_quantiles_and_the_slowest() {
        let all = vec![(20, 9_999), (5000, 1)];
        let samples = [Sample::Latencies(Latencies::of_all(vec![all]).unwrap())];
        let key = Key::new(Work::Latency, Kind::Processes, 8);
        let rows = [Row::of(&key, "published", Unit::Nanoseconds, &samples).unwrap()];
        let text = text(&by_work(&rows)[0]);
        let tail = "| published | 20 ns | 20 ns | 20 ns | 20 ns | 20 ns | 5 µs | 5 µs |";
        assert!(text.contains(tail), "{text}");
    }
}
