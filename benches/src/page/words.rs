//! Numbers and cases as people read them; tables of Markdown.

use crate::args::Work;
use crate::results::{Key, Unit};
use clap::ValueEnum;

/// What the size of a work counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Names in the table.
    Names,
    /// Bytes of a block, or of a segment.
    Bytes,
    /// Nobody here knows.
    Other,
}

impl Size {
    /// Of a work by this name.
    pub fn of(work: &str) -> Size {
        match Work::from_str(work, false) {
            Ok(Work::Construct | Work::Find | Work::Miss | Work::Destroy | Work::FindLatency) => {
                Size::Names
            }
            Ok(Work::Create | Work::Attach | Work::Recovery | Work::Metadata) => Size::Bytes,
            _ => Size::Other,
        }
    }

    /// On an axis.
    pub fn axis(self) -> &'static str {
        match self {
            Size::Names => "names",
            Size::Bytes => "bytes",
            Size::Other => "size",
        }
    }

    /// On a tick of that axis.
    pub fn short(self, size: u64) -> String {
        if self == Size::Bytes { bytes(size as f64) } else { thousands(size) }
    }

    /// Alone.
    fn long(self, size: u64) -> String {
        let short = self.short(size);
        match self {
            Size::Names => format!("{short} names"),
            Size::Bytes => short,
            Size::Other => format!("size {short}"),
        }
    }
}

/// `find, 10,000 names`.
pub fn work(name: &str, size: u64) -> String {
    match size {
        0 => name.to_owned(),
        size => format!("{name}, {}", Size::of(name).long(size)),
    }
}

/// `8 processes, 10,000 names`.
pub fn case(key: &Key) -> String {
    match key.size {
        0 => key.crowd(),
        size => format!("{}, {}", key.crowd(), Size::of(&key.work).long(size)),
    }
}

/// With commas.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// By the largest unit that leaves a number before the point.
pub fn bytes(bytes: f64) -> String {
    scaled(bytes, &[(1.0, "B"), (1024.0, "KiB"), (1024.0, "MiB"), (1024.0, "GiB"), (1024.0, "TiB")])
}

/// A figure in its unit; of many bytes, in a larger one.
pub fn figure(figure: f64, unit: Unit) -> String {
    if unit == Unit::Bytes { bytes(figure) } else { unit.show(figure) }
}

/// By the largest unit that leaves a number before the point, too.
pub fn nanoseconds(nanoseconds: f64) -> String {
    scaled(nanoseconds, &[(1.0, "ns"), (1000.0, "µs"), (1000.0, "ms"), (1000.0, "s")])
}

/// Units, each so many times the one before it.
fn scaled(mut number: f64, units: &[(f64, &str)]) -> String {
    let mut said = "";
    for (times, unit) in units {
        if !said.is_empty() && number.abs() < *times {
            break;
        }
        number /= times;
        said = unit;
    }
    format!("{} {said}", plain(number))
}

/// With no more digits than it needs, of three.
pub fn plain(number: f64) -> String {
    let digits = match number.abs() {
        it if it >= 100.0 => 0,
        it if it >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{number:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').into() }
}

/// A table of Markdown.
pub struct Table(String);

impl Table {
    /// The first `left` columns have words, the others figures.
    pub fn new(left: usize, header: &[impl AsRef<str>]) -> Table {
        let mut table = Table(String::new());
        table.row(header);
        let rule = |(at, _)| if at < left { "---" } else { "---:" };
        table.row(&header.iter().enumerate().map(rule).collect::<Vec<_>>());
        table
    }

    pub fn row(&mut self, cells: &[impl AsRef<str>]) {
        for cell in cells {
            self.0 += "| ";
            self.0 += &cell.as_ref().replace('|', "\\|");
            self.0.push(' ');
        }
        self.0 += "|\n";
    }

    /// With an empty line behind it.
    pub fn text(self) -> String {
        self.0 + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Kind;

    #[test]
    fn numbers_have_the_units_that_people_use() {
        assert_eq!([999.0, 1000.0, 2_500_000.0].map(nanoseconds), ["999 ns", "1 µs", "2.5 ms"]);
        assert_eq!([64.0, 1536.0, 1099511627776.0].map(bytes), ["64 B", "1.5 KiB", "1 TiB"]);
        assert_eq!([0, 999, 1000, 1234567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.5, 100.0, 12.345].map(plain), ["0", "0.5", "100", "12.3"]);
        assert_eq!(figure(64e6, Unit::Bytes), "61 MiB");
        assert_eq!(figure(2.0, Unit::Nanoseconds), "2.00 ns");
    }

    #[test]
    fn a_case_says_how_many_and_of_what_size() {
        let find = Key::new(Work::Find, Kind::Processes, 8).of_size(10_000);
        assert_eq!(case(&find), "8 processes, 10,000 names");
        assert_eq!(case(&Key::new(Work::Churn, Kind::Threads, 1)), "1 thread");
        assert_eq!(
            case(&Key::new(Work::Attach, Kind::Threads, 1).of_size(1 << 40)),
            "1 thread, 1 TiB"
        );
        let unknown = Key { work: "juggle".into(), ..find };
        assert_eq!(case(&unknown), "8 processes, size 10,000");
    }

    #[test]
    fn a_table_has_its_figures_to_the_right_and_no_cell_breaks_it() {
        let mut table = Table::new(1, &["what", "figure"]);
        table.row(&["a|b", "1"]);
        assert_eq!(table.text(), "| what | figure |\n| --- | ---: |\n| a\\|b | 1 |\n\n");
    }
}
