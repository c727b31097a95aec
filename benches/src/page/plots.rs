//! What is drawn as lines: rates over members, tails of latencies, memory over time, figures over sizes.

use super::axis::Axis;
use super::contest::{Contest, OfWork, PARTS, by_work, is_sum, sizes, tail_of};
use super::words::{self, Size, bytes, case, nanoseconds, plain};
use crate::args::Kind;
use crate::results::{Row, Unit, name};

/// Panels beside and below each other, with one legend.
pub struct Plot {
    /// Of the file, without its ending.
    pub name: String,
    pub title: String,
    pub panels: Vec<Panel>,
}

/// Lines between two axes.
pub struct Panel {
    /// What it has of what the plot shows.
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

/// Of one subject.
pub struct Line {
    pub subject: String,
    pub points: Vec<(f64, f64)>,
}

/// All that there is to draw.
pub fn plots(rows: &[Row]) -> Vec<Plot> {
    let works = by_work(rows);
    let mut plots: Vec<Plot> = works.iter().flat_map(scaling).collect();
    plots.extend(works.iter().flat_map(tails));
    plots.extend(over_sizes(&works));
    plots.extend(works.iter().flat_map(courses));
    plots
}

/// Operations in a second by so many members: processes and threads beside each other.
fn scaling(work: &OfWork<'_>) -> Vec<Plot> {
    let contests = work.contests();
    let plot = |size: u64| {
        let panels: Vec<(String, Vec<Line>)> = [Kind::Processes, Kind::Threads]
            .map(|kind| {
                let kind = name(kind);
                let is_there = |it: &&Contest<'_>| it.key.size == size && it.key.kind == kind;
                let rows = contests.iter().filter(is_there).flat_map(|it| &it.rows).copied();
                let rates = rows.filter(|it| it.unit == Unit::Nanoseconds && is_sum(it));
                let of = lines(rates, |row| (row.key.members.into(), 1000.0 / row.median()));
                (kind, of)
            })
            .into_iter()
            .filter(|(_, lines)| !lines.is_empty())
            .collect();
        let points = || panels.iter().flat_map(|it| &it.1).flat_map(|it| &it.points);
        let members = points().map(|it| (it.0, plain(it.0))).collect();
        let x = Axis::of("members", members)?;
        let y = Axis::log("million operations per second", points().map(|it| it.1), plain)?;
        let panel = |(title, lines)| Panel { title, x: x.clone(), y: y.clone(), lines };
        Some(Plot {
            name: file("scaling", work, size),
            title: words::work(work.name, size),
            panels: panels.into_iter().map(panel).collect(),
        })
    };
    sizes(&contests).into_iter().filter_map(plot).collect()
}

/// What all but so small a part takes at most: of eight processes, or of the most members that there are.
fn tails(work: &OfWork<'_>) -> Vec<Plot> {
    let contests = work.contests();
    let plot = |size: u64| {
        let contest = tail_of(&contests, size)?;
        let tail = |row: &&Row| {
            let beyond = row.quantiles.iter().filter(|it| (0.5..1.0).contains(&it.0));
            let points = beyond.map(|(part, ns)| (1.0 / (1.0 - part), *ns as f64)).collect();
            Line { subject: row.subject.clone(), points }
        };
        let of = contest.rows.iter().filter(|it| !is_sum(it)).map(tail).collect::<Vec<_>>();
        let values = of.iter().flat_map(|it| &it.points).map(|it| it.1);
        let named = PARTS.iter().filter(|it| it.0 < 1.0);
        let parts = named.map(|(part, says)| (1.0 / (1.0 - part), (*says).to_owned()));
        Some(Plot {
            name: file("tail", work, size),
            title: format!("{}: {}", work.name, case(contest.key)),
            panels: vec![Panel {
                title: String::new(),
                x: Axis::of("part of all operations", parts.collect())?,
                y: Axis::log("takes at most", values, nanoseconds)?,
                lines: of,
            }],
        })
    };
    sizes(&contests).into_iter().filter_map(plot).collect()
}

/// What a subject holds while it works.
fn courses(work: &OfWork<'_>) -> Vec<Plot> {
    let plot = |contest: &Contest<'_>| {
        let has_course = |it: &&&Row| !it.course.is_empty();
        let line = |row: &&Row| Line { subject: row.subject.clone(), points: row.course.clone() };
        let lines: Vec<Line> = contest.rows.iter().filter(has_course).map(line).collect();
        let points = || lines.iter().flat_map(|it| &it.points);
        points().next()?;
        let x = Axis::linear("operations", points().map(|it| it.0), 1000.0, million)?;
        let y = Axis::linear("memory held", points().map(|it| it.1), 1024.0, bytes)?;
        let key = contest.key;
        Some(Plot {
            name: format!("course-{}-{}-{}-{}", key.work, key.kind, key.members, key.size),
            title: format!("{}: {}", work.name, case(key)),
            panels: vec![Panel { title: String::new(), x, y, lines }],
        })
    };
    work.contests().iter().filter_map(plot).collect()
}

/// What one member needs at each size: works on names together, others by themselves.
fn over_sizes(works: &[OfWork<'_>]) -> Vec<Plot> {
    let plot = |name: String, title: String| Plot { name, title, panels: Vec::new() };
    let mut names = plot("names".into(), "one operation, beside so many names".into());
    let mut others = Vec::new();
    for work in works {
        let kinds = [Kind::Threads, Kind::Processes];
        let Some(panel) = kinds.into_iter().find_map(|it| over_size(work, it)) else { continue };
        if Size::of(work.name) == Size::Names {
            names.panels.push(Panel { title: work.name.to_owned(), ..panel });
        } else {
            let mut own = plot(format!("sizes-{}", work.name), format!("{}, by size", work.name));
            own.panels.push(panel);
            others.push(own);
        }
    }
    let names = (!names.panels.is_empty()).then_some(names);
    names.into_iter().chain(others).collect()
}

fn over_size(work: &OfWork<'_>, kind: Kind) -> Option<Panel> {
    let rows =
        work.rows.iter().copied().filter(|it| it.key.members == 1 && it.key.kind == name(kind));
    let lines = lines(rows.filter(|it| is_sum(it)), |it| (it.key.size as f64, it.median()));
    let points = || lines.iter().flat_map(|it| &it.points);
    let size = Size::of(work.name);
    let sizes = points().map(|it| (it.0, size.short(it.0 as u64))).collect();
    let x = Axis::of(size.axis(), sizes)?;
    let sign = work.rows.first()?.unit.sign();
    let figures = || points().map(|it| it.1);
    // What may be 0, or less, is no factor.
    let y = Axis::log(sign, figures(), plain)
        .or_else(|| Axis::linear(sign, figures(), 1000.0, plain))?;
    Some(Panel { title: String::new(), x, y, lines })
}

/// Lines of two points or more, by subject; `point` of a row is a place and a figure.
fn lines<'r>(rows: impl Iterator<Item = &'r Row>, point: impl Fn(&Row) -> (f64, f64)) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        match lines.iter_mut().find(|it| it.subject == row.subject) {
            Some(line) => line.points.push(point(row)),
            None => lines.push(Line { subject: row.subject.clone(), points: vec![point(row)] }),
        }
    }
    lines.retain(|it| it.points.len() > 1);
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}

fn file(of: &str, work: &OfWork<'_>, size: u64) -> String {
    if size == 0 { format!("{of}-{}", work.name) } else { format!("{of}-{}-{size}", work.name) }
}

fn million(operations: f64) -> String {
    format!("{} M", plain(operations / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Work;
    use crate::latency::Latencies;
    use crate::page::contest::tests::row;
    use crate::results::{Key, Sample};

    fn names(rows: &[Row]) -> Vec<String> {
        plots(rows).into_iter().map(|it| it.name).collect()
    }

    #[test]
    fn a_rate_is_drawn_over_members_where_there_are_several_numbers_of_them() {
        let at =
            |kind, members, ns| row(&Key::new(Work::Larson, kind, members), "published", &[ns]);
        let rows = vec![
            at(Kind::Processes, 2, 5.0),
            at(Kind::Processes, 1, 10.0),
            at(Kind::Threads, 1, 10.0),
        ];
        let plots = plots(&rows);
        assert_eq!(plots.len(), 1);
        assert_eq!((&*plots[0].name, plots[0].panels.len()), ("scaling-larson", 1));
        assert_eq!(plots[0].panels[0].title, "processes");
        assert_eq!(plots[0].panels[0].lines[0].points, [(1.0, 100.0), (2.0, 200.0)]);
        assert!(names(&rows[1..]).is_empty());
    }

    #[test]
    fn a_tail_is_that_of_eight_processes() {
        let at = |kind, members| {
            let all = vec![(20, 99_999), (5000, 1)];
            let samples = [Sample::Latencies(Latencies::of_all(vec![all]).unwrap())];
            let key = Key::new(Work::Latency, kind, members);
            Row::of(&key, "published", Unit::Nanoseconds, &samples).unwrap()
        };
        let rows = [
            at(Kind::Processes, 1),
            at(Kind::Processes, 8),
            at(Kind::Processes, 16),
            at(Kind::Threads, 8),
        ];
        let plots = plots(&rows);
        let titles: Vec<&str> = plots.iter().map(|it| &*it.title).collect();
        assert_eq!(titles, ["latency: 8 processes"]);
        let line = &plots[0].panels[0].lines[0].points;
        assert_eq!(line.first().unwrap(), &(2.0, 20.0));
        assert!(line.last().unwrap().0 > 99_999.0, "{line:?}");
    }

    #[test]
    fn works_on_names_are_panels_of_one_plot() {
        let at = |work, size: u64| {
            row(&Key::new(work, Kind::Threads, 1).of_size(size), "sharena", &[size as f64])
        };
        let rows: Vec<Row> = [Work::Find, Work::Miss, Work::Attach]
            .into_iter()
            .flat_map(|work| [at(work, 100), at(work, 10_000)])
            .collect();
        let plots = plots(&rows);
        let panels: Vec<(&str, usize)> =
            plots.iter().map(|it| (&*it.name, it.panels.len())).collect();
        assert_eq!(panels, [("names", 2), ("sizes-attach", 1)]);
    }

    #[test]
    fn a_course_is_drawn_and_so_is_a_work_that_nobody_knows() {
        let key = Key { work: "juggle".into(), ..Key::new(Work::Held, Kind::Threads, 1) };
        let course = vec![(0.0, 0.0), (1e6, 4e6)];
        let samples = [Sample::Course(4e6, course.clone())];
        let rows = [Row::of(&key, "published", Unit::Bytes, &samples).unwrap()];
        let plots = plots(&rows);
        assert_eq!(plots[0].name, "course-juggle-threads-1-0");
        assert_eq!(plots[0].panels[0].lines[0].points, course);
    }
}
