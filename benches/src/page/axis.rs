//! Where a value lies on an axis, and what stands beside it.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// An axis.
#[derive(Clone)]
pub struct Axis {
    /// What it counts.
    pub says: String,
    /// Values that are named on it, from the least.
    pub ticks: Vec<(f64, String)>,
    is_log: bool,
    from: f64,
    to: f64,
}

/// Decades up to which 2 and 5 are named as well.
const FEW_DECADES: f64 = 2.5;
/// Steps between named values of an axis that is none of factors, about.
const STEPS: f64 = 5.0;

impl Axis {
    /// Equal steps are equal factors. `None`: there is no value, or one that is no factor.
    pub fn log(
        says: &str,
        values: impl IntoIterator<Item = f64>,
        show: fn(f64) -> String,
    ) -> Option<Axis> {
        let (least, most) = range(values).filter(|(least, _)| *least > 0.0)?;
        let from = nice_below(least);
        let to = nice_above(most.max(from * 1.01));
        let all: Vec<f64> = std::iter::successors(Some(from), |it| Some(nice_above(it * 1.01)))
            .take_while(|it| *it <= to * 1.001)
            .collect();
        let is_named = |it: &f64| (to / from).log10() <= FEW_DECADES || is_power_of_ten(*it);
        let ticks = all.into_iter().filter(is_named).map(|it| (it, show(it))).collect();
        Some(Axis { says: says.to_owned(), ticks, is_log: true, from, to })
    }

    /// The same, with just these values named.
    pub fn of(says: &str, mut ticks: Vec<(f64, String)>) -> Option<Axis> {
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        ticks.dedup_by(|a, b| a.0 == b.0);
        let (from, to) = range(ticks.iter().map(|it| it.0)).filter(|(least, _)| *least > 0.0)?;
        // Marks on the first and the last are whole.
        let margin = (to / from).powf(0.04).max(1.01);
        let (from, to) = (from / margin, to * margin);
        Some(Axis { says: says.to_owned(), ticks, is_log: true, from, to })
    }

    /// From 0 on, or from below it; `kilo` is by how much its units differ.
    pub fn linear(
        says: &str,
        values: impl IntoIterator<Item = f64>,
        kilo: f64,
        show: fn(f64) -> String,
    ) -> Option<Axis> {
        let (least, most) = range(values.into_iter().chain([0.0]))?;
        let step = if least < most { (most - least) / STEPS } else { 1.0 };
        let unit = kilo.powf(step.log(kilo).floor());
        let step = nice_above(step / unit) * unit;
        let (first, last) = ((least / step).floor(), (most / step).ceil().max(1.0));
        let ticks = (first as i64..=last as i64).map(|it| it as f64 * step);
        let ticks = ticks.map(|it| (it, show(it))).collect();
        Some(Axis {
            says: says.to_owned(),
            ticks,
            is_log: false,
            from: first * step,
            to: last * step,
        })
    }

    /// Where a value lies: 0 where it begins, 1 where it ends.
    fn part(&self, value: f64) -> f64 {
        let place = |it: f64| if self.is_log { it.log10() } else { it };
        let from = place(self.from);
        (place(value) - from) / (place(self.to) - from)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (begin, end): (i32, i32)) -> i32 {
        begin + (self.part(*value) * f64::from(end - begin)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        // No lines between those that are named.
        let ticks = self.ticks.iter().map(|it| it.0);
        if hint.weight().allow_light_points() { Vec::new() } else { ticks.collect() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|it| it.0 == *value);
        tick.map_or(String::new(), |it| it.1.clone())
    }
}

/// The least and the most of them that are numbers.
fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|it| it.is_finite())
        .map(|it| (it, it))
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// 1, 2 or 5 of some power of ten.
fn nice_above(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let nice = [1.0, 2.0, 5.0].map(|it| it * power);
    nice.into_iter().find(|it| *it >= value * 0.9999).unwrap_or(10.0 * power)
}

/// The same, not above the value.
fn nice_below(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let nice = [5.0, 2.0].map(|it| it * power);
    nice.into_iter().find(|it| *it <= value * 1.0001).unwrap_or(power)
}

fn is_power_of_ten(value: f64) -> bool {
    let log = value.log10();
    (log - log.round()).abs() < 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|it| &*it.1).collect()
    }

    fn show(value: f64) -> String {
        value.to_string()
    }

    #[test]
    fn every_value_lies_between_named_ones() {
        let few = Axis::log("", [3.0, 80.0], show).unwrap();
        assert_eq!(named(&few), ["2", "5", "10", "20", "50", "100"]);
        let many = Axis::log("", [3.0, 8000.0], show).unwrap();
        assert_eq!(named(&many), ["10", "100", "1000", "10000"]);
        assert_eq!(many.map(&3.0, (0, 1000)).signum(), 1);
        let one = Axis::log("", [3.0], show).unwrap();
        assert_eq!(named(&one), ["2", "5"]);
        let linear = Axis::linear("", [30.0, 87.0], 1000.0, show).unwrap();
        assert_eq!(named(&linear), ["0", "20", "40", "60", "80", "100"]);
        let bytes = Axis::linear("", [90e6], 1024.0, |it| show(it / 1048576.0)).unwrap();
        assert_eq!(named(&bytes), ["0", "20", "40", "60", "80", "100"]);
        let below = Axis::linear("", [-30.0, 87.0], 1000.0, show).unwrap();
        assert_eq!(named(&below), ["-50", "0", "50", "100"]);
    }

    #[test]
    fn equal_steps_are_equal_factors() {
        let axis = Axis::log("", [10.0, 1000.0], show).unwrap();
        assert_eq!([10.0, 100.0, 1000.0].map(|it| axis.map(&it, (300, 100))), [300, 200, 100]);
        let axis = Axis::linear("", [100.0], 1000.0, show).unwrap();
        assert_eq!([0.0, 20.0, 100.0].map(|it| axis.map(&it, (0, 200))), [0, 40, 200]);
    }

    #[test]
    fn a_tick_has_its_name_and_is_there_once() {
        let axis = Axis::of("", [16.0, 1.0, 4.0, 4.0].map(|it| (it, show(it))).into()).unwrap();
        assert_eq!(named(&axis), ["1", "4", "16"]);
        assert_eq!([4.0, 5.0].map(|it| axis.format_ext(&it)), ["4", ""]);
        let (first, last) = (axis.map(&1.0, (0, 300)), axis.map(&16.0, (0, 300)));
        assert!(0 < first && last < 300, "{first}, {last}");
    }

    #[test]
    fn what_is_no_factor_has_no_place_among_factors() {
        assert!(Axis::log("", [0.0, 3.0], show).is_none());
        assert!(Axis::log("", [], show).is_none());
        assert!(Axis::linear("", [0.0], 1000.0, show).is_some());
    }
}
