//! Draws plots, as SVG whose text is text.

use super::plots::{Line, Panel, Plot};
use super::style::{Style, Styles};
use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

/// A part of the picture.
pub type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;

/// Pixels, of every picture.
pub const WIDTH: u32 = 800;
const TITLE: u32 = 36;
const PANEL: u32 = 320;
const COLUMNS: usize = 2;
const LEGEND_ROW: u32 = 22;

/// Text of such a height. The plotter divides it by that number, and wants it whole.
pub fn text(pixels: u32) -> TextStyle<'static> {
    ("sans-serif", (f64::from(pixels) * 1.24).ceil()).into_text_style(&(1, 1)).color(&BLACK)
}

/// A picture of this height, on white, so that it can be read on a dark page as well.
pub fn picture(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(svg)
}

/// A title in the upper left corner; returns what is below it.
pub fn below_title<'s>(area: &Area<'s>, title: &str) -> Result<Area<'s>> {
    let (above, below) = area.split_vertically(TITLE);
    above.draw_text(title, &text(16), (14, 12))?;
    Ok(below)
}

/// The picture of a plot.
pub fn plot(plot: &Plot, styles: &Styles<'_>) -> Result<String> {
    let columns = plot.panels.len().clamp(1, COLUMNS);
    let rows = plot.panels.len().div_ceil(columns);
    let legend = Legend::of(plot);
    let panels = PANEL * rows as u32;
    picture(TITLE + panels + legend.height(), |area| {
        let below = below_title(area, &plot.title)?;
        let (above, below) = below.split_vertically(panels);
        let places = above.split_evenly((rows, columns));
        for (panel, place) in plot.panels.iter().zip(&places) {
            draw_panel(panel, styles, place)?;
        }
        legend.draw(styles, &below)
    })
}

fn draw_panel(panel: &Panel, styles: &Styles<'_>, area: &Area<'_>) -> Result<()> {
    let mut chart = ChartBuilder::on(area);
    chart.margin(8).margin_right(24).x_label_area_size(44).y_label_area_size(72);
    if !panel.title.is_empty() {
        chart.caption(&panel.title, text(14));
    }
    let mut chart = chart.build_cartesian_2d(panel.x.clone(), panel.y.clone())?;
    chart
        .configure_mesh()
        .bold_line_style(RGBColor(225, 225, 225))
        .light_line_style(TRANSPARENT)
        .label_style(text(12))
        .axis_desc_style(text(12))
        .x_desc(&panel.x.says)
        .y_desc(&panel.y.says)
        .draw()?;
    for line in in_layers(&panel.lines, styles) {
        let style = styles.style(&line.subject);
        let points = line.points.iter().copied();
        if style.is_dashed {
            chart.draw_series(DashedLineSeries::new(points.clone(), 6, 4, stroke(&style)))?;
        } else {
            chart.draw_series(LineSeries::new(points.clone(), stroke(&style)))?;
        }
        if line.points.len() <= MARKED {
            let mark = || Polygon::new(style.mark, style.color.filled());
            chart.draw_series(points.map(|at| EmptyElement::at(at) + mark()))?;
        }
    }
    Ok(())
}

/// Points of a line up to which each has a mark.
const MARKED: usize = 20;

fn stroke(style: &Style) -> ShapeStyle {
    style.color.stroke_width(style.width)
}

/// Ours above the others.
fn in_layers<'l>(lines: &'l [Line], styles: &Styles<'_>) -> Vec<&'l Line> {
    let mut lines: Vec<&Line> = lines.iter().collect();
    lines.sort_by_key(|it| styles.style(&it.subject).layer);
    lines
}

/// All subjects of a plot, in rows below it.
struct Legend<'p> {
    /// A subject, and where it begins.
    entries: Vec<(&'p str, (i32, i32))>,
    rows: u32,
}

/// Pixels of what is drawn of a line.
const SAMPLE: i32 = 28;
/// Pixels of a letter, about.
const LETTER: i32 = 8;

impl<'p> Legend<'p> {
    fn of(plot: &'p Plot) -> Legend<'p> {
        let (mut x, mut y) = (24, 4);
        let mut entries: Vec<(&str, (i32, i32))> = Vec::new();
        for line in plot.panels.iter().flat_map(|it| &it.lines) {
            if entries.iter().any(|it| it.0 == line.subject) {
                continue;
            }
            let wide = SAMPLE + 28 + LETTER * line.subject.chars().count() as i32;
            if x + wide > WIDTH as i32 {
                (x, y) = (24, y + LEGEND_ROW as i32);
            }
            entries.push((&line.subject, (x, y)));
            x += wide;
        }
        Legend { entries, rows: (y as u32) / LEGEND_ROW + 1 }
    }

    fn height(&self) -> u32 {
        self.rows * LEGEND_ROW + 12
    }

    fn draw(&self, styles: &Styles<'_>, area: &Area<'_>) -> Result<()> {
        for (subject, (x, y)) in &self.entries {
            let style = styles.style(subject);
            let middle = y + 8;
            // Two dashes, of what has any.
            let parts: &[(i32, i32)] =
                if style.is_dashed { &[(0, 11), (17, 28)] } else { &[(0, 28)] };
            for (from, to) in parts {
                let ends = vec![(x + from, middle), (x + to, middle)];
                area.draw(&PathElement::new(ends, stroke(&style)))?;
            }
            let corners: Vec<(i32, i32)> =
                style.mark.iter().map(|it| (x + SAMPLE / 2 + it.0, middle + it.1)).collect();
            area.draw(&Polygon::new(corners, style.color.filled()))?;
            area.draw_text(subject, &text(13), (x + SAMPLE + 8, *y))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::axis::Axis;
    use crate::page::words::plain;

    #[test]
    fn names_of_a_legend_neither_meet_nor_leave_the_picture() {
        let axis = Axis::log("", [1.0, 10.0], plain).unwrap();
        let name = |it: usize| format!("{it}{}", "x".repeat(it % 15));
        let line = |it| Line { subject: name(it), points: Vec::new() };
        let lines = (0..40).map(|it| line(it % 30)).collect();
        let panel = Panel { title: String::new(), x: axis.clone(), y: axis, lines };
        let plot = Plot { name: String::new(), title: String::new(), panels: vec![panel] };
        let legend = Legend::of(&plot);
        assert_eq!(legend.entries.len(), 30);
        let end = |(name, (x, _)): &(&str, (i32, i32))| x + SAMPLE + 8 + LETTER * name.len() as i32;
        for pair in legend.entries.windows(2) {
            let is_beside = pair[0].1.1 == pair[1].1.1;
            assert!(!is_beside || end(&pair[0]) < pair[1].1.0, "{pair:?}");
        }
        for entry in &legend.entries {
            assert!(end(entry) < WIDTH as i32, "{entry:?}");
            assert!(entry.1.1 as u32 + LEGEND_ROW <= legend.height(), "{entry:?}");
        }
    }
}
