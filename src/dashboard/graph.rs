//! A line over time, as SVG of the server's: it is there without script, prints, and has its table beside it.
//!
//! Comes in: values by point of time, and those it is compared with. Goes out: paths in a box of 1000 × 100 that the
//! page stretches, ticks for the axes (text stands outside, so that it keeps its size at any width), and the same
//! points for the table. Withheld points are gaps: a line through them would guess. The last stretch is dashed where it
//! leads to an interval that is not over: what has come so far would look like a fall.

use std::fmt::Write;

/// One point.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// In words.
    pub(super) name: String,
    /// Day and time apart, where it is finer than a day.
    pub(super) clock: Option<(String, String)>,
    /// The figure in words.
    pub(super) text: String,
    /// The figure of the range it is compared with, and when that was.
    pub(super) earlier: Option<(String, String)>,
    /// Where a click on it leads: the same page over this day, week or month.
    pub(super) href: Option<String>,
    /// First and last date of the point, for the choice of a range.
    pub(super) dates: Option<(String, String)>,
    pub(super) value: Option<f64>,
    pub(super) earlier_value: Option<f64>,
    /// It lies ahead: there is nothing to draw yet.
    pub(super) is_ahead: bool,
    /// It has begun and is not over: its figure is what has come so far.
    pub(super) is_under_way: bool,
    /// What somebody wrote about it.
    pub(super) notes: Vec<String>,
    /// Left edge and width in the box, filled in by [`Graph::new`].
    pub(super) x: f64,
    pub(super) width: f64,
}

impl Point {
    /// A point about which nothing is known.
    pub(super) fn empty() -> Point {
        Point {
            name: String::new(),
            clock: None,
            text: String::new(),
            earlier: None,
            href: None,
            dates: None,
            value: None,
            earlier_value: None,
            is_ahead: false,
            is_under_way: false,
            notes: Vec::new(),
            x: 0.0,
            width: 0.0,
        }
    }
}

/// A drawn graph.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) points: Vec<Point>,
    pub(super) line: String,
    /// From the last point that is over to the one that is not.
    pub(super) so_far: String,
    pub(super) area: String,
    pub(super) earlier: String,
    /// Single points between gaps, which no line would show.
    pub(super) dots: Vec<(String, String)>,
    /// Where the point that is not over stands.
    pub(super) end: Option<(String, String)>,
    /// Values at the top and in the middle of the axis.
    pub(super) top: f64,
    /// What stands below the axis.
    pub(super) ticks: Vec<Tick>,
}

/// A name below the axis, where its point stands.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) name: String,
    /// Percent of the width.
    pub(super) x: String,
    /// Which part of the name stands there: at the edges it would be cut off in the middle.
    pub(super) anchor: &'static str,
}

const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 100.0;

impl Graph {
    /// Draws the points.
    pub(super) fn new(mut points: Vec<Point>) -> Graph {
        let n = points.len();
        let step = WIDTH / n.max(1) as f64;
        for (i, point) in points.iter_mut().enumerate() {
            point.x = step * i as f64;
            point.width = step;
        }
        let values = |point: &Point| [point.value, point.earlier_value].into_iter().flatten();
        let values: Vec<f64> = points.iter().flat_map(values).collect();
        let top = ceiling(&values);
        let at = |i: usize, value: f64| (step * (i as f64 + 0.5), HEIGHT * (1.0 - value / top));
        let now: Vec<Option<f64>> = points
            .iter()
            .map(|point| point.value.filter(|_| !point.is_ahead))
            .collect();
        let then: Vec<Option<f64>> = points.iter().map(|point| point.earlier_value).collect();
        let mut over = now.clone();
        let under_way = points.iter().position(|point| point.is_under_way);
        let end = under_way.and_then(|last| Some((last, over[last].take()?)));
        let (line, mut dots) = path(&over, &at);
        let written = |(x, y): (f64, f64)| (format!("{x:.1}"), format!("{y:.1}"));
        let before = end.and_then(|(last, _)| {
            let before = last.checked_sub(1)?;
            Some(at(before, over[before]?))
        });
        let end = end.map(|(last, value)| at(last, value));
        let so_far = match (before, end) {
            (Some((x, y)), Some((last_x, last_y))) => {
                // The stretch shows it.
                dots.retain(|dot| *dot != written((x, y)));
                format!("M{x:.1} {y:.1}L{last_x:.1} {last_y:.1}")
            }
            _ => String::new(),
        };
        let (earlier, _) = path(&then, &at);
        let area = runs(&over).into_iter().filter(|run| run.len() > 1).fold(
            String::new(),
            |mut area, run| {
                let (first, last) = (run[0].0, run[run.len() - 1].0);
                let put = write!(area, "M{:.1} {HEIGHT}", at(first, 0.0).0).is_ok();
                debug_assert!(put, "text takes text");
                for (i, value) in run {
                    let (x, y) = at(i, value);
                    area.push_str(&format!("L{x:.1} {y:.1}"));
                }
                area.push_str(&format!("L{:.1} {HEIGHT}Z", at(last, 0.0).0));
                area
            },
        );
        Graph {
            ticks: ticks(&points),
            points,
            line,
            so_far,
            area,
            earlier,
            dots,
            end: end.map(written),
            top,
        }
    }

    /// Tells whether there is anything to draw.
    pub(super) fn is_empty(&self) -> bool {
        let has = |point: &Point| point.value.is_some_and(|value| value > 0.0);
        !self.points.iter().any(has)
    }

    pub(super) fn has_earlier(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// The point that is not over, where it has a figure.
    pub(super) fn under_way(&self) -> Option<&Point> {
        let is_shown = |point: &&Point| point.is_under_way && point.value.is_some();
        self.points.iter().find(is_shown)
    }

    pub(super) fn has_notes(&self) -> bool {
        self.points.iter().any(|point| !point.notes.is_empty())
    }
}

/// Stretches of points that have values.
fn runs(values: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let mut runs: Vec<Vec<(usize, f64)>> = vec![Vec::new()];
    for (i, value) in values.iter().enumerate() {
        match (value, runs.last_mut()) {
            (Some(value), Some(run)) => run.push((i, *value)),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

fn path(
    values: &[Option<f64>],
    at: &dyn Fn(usize, f64) -> (f64, f64),
) -> (String, Vec<(String, String)>) {
    let (mut line, mut dots) = (String::new(), Vec::new());
    for run in runs(values) {
        if let [(i, value)] = run[..] {
            let (x, y) = at(i, value);
            dots.push((format!("{x:.1}"), format!("{y:.1}")));
            continue;
        }
        for (n, (i, value)) in run.into_iter().enumerate() {
            let (x, y) = at(i, value);
            line.push_str(&format!("{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' }));
        }
    }
    (line, dots)
}

/// The next number that an axis may end at: 1, 1.5, 2, 3, 4, 5, 6, 8 or 10 times a power of ten. Of whole numbers its
/// half is whole, too, which is written beside the middle.
fn ceiling(values: &[f64]) -> f64 {
    let is_whole = values.iter().all(|value| value.fract() == 0.0);
    let most = values.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 || !most.is_finite() {
        return if is_whole { 2.0 } else { 1.0 };
    }
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps
        .into_iter()
        .find(|step| step * power >= most && (!is_whole || step * power % 2.0 == 0.0));
    step.unwrap_or(10.0) * power
}

/// At most seven names, the first among them, evenly apart.
fn ticks(points: &[Point]) -> Vec<Tick> {
    let n = points.len();
    let is_one_day = is_one_day(points);
    let tick = |i: usize| {
        let percent = 100.0 * (i as f64 + 0.5) / n as f64;
        let (x, anchor) = match percent {
            ..12.0 => (percent, "start"),
            88.0.. => (percent, "end"),
            _ => (percent, "middle"),
        };
        Tick {
            name: match &points[i].clock {
                Some((_, time)) if is_one_day => time.clone(),
                Some((day, time)) => format!("{day} {time}"),
                None => points[i].name.clone(),
            },
            x: format!("{x:.2}%"),
            anchor,
        }
    };
    (0..n).step_by(n.div_ceil(7).max(1)).map(tick).collect()
}

fn is_one_day(points: &[Point]) -> bool {
    let mut days = points
        .iter()
        .map(|point| point.clock.as_ref().map(|(day, _)| day));
    let first = days.next();
    days.all(|day| Some(day) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(value: Option<f64>) -> Point {
        Point {
            value,
            ..Point::empty()
        }
    }

    #[test]
    fn a_withheld_point_is_a_gap_and_a_lonely_one_a_dot() {
        let values = [Some(4.0), Some(8.0), None, Some(2.0)];
        let graph = Graph::new(values.map(point).into());
        assert_eq!(graph.line, "M125.0 50.0L375.0 0.0");
        assert_eq!(graph.dots, [("875.0".into(), "75.0".into())]);
        assert_eq!(graph.top, 8.0);
        assert_eq!(graph.area, "M125.0 100L125.0 50.0L375.0 0.0L375.0 100Z");
    }

    /// A day that has begun would look like a fall in a line that goes on.
    #[test]
    fn the_stretch_to_what_is_not_over_is_a_line_of_its_own() {
        let drawn = |values: &[Option<f64>]| {
            let mut points: Vec<Point> = values.iter().copied().map(point).collect();
            points.last_mut().expect("a last one").is_under_way = true;
            Graph::new(points)
        };
        let graph = drawn(&[Some(4.0), Some(8.0), Some(8.0), Some(2.0)]);
        assert_eq!(graph.line, "M125.0 50.0L375.0 0.0L625.0 0.0");
        assert_eq!(graph.so_far, "M625.0 0.0L875.0 75.0");
        assert!(graph.area.ends_with("L625.0 100Z"), "{}", graph.area);
        assert_eq!(graph.end, Some(("875.0".into(), "75.0".into())));
        // What the dashed stretch begins with needs no dot.
        let graph = drawn(&[None, Some(8.0), Some(2.0)]);
        assert_eq!((graph.line.as_str(), graph.dots.len()), ("", 0));
        assert_eq!(graph.so_far, "M500.0 0.0L833.3 75.0");
        // Behind a gap there is nothing to draw it from, and withheld it is a gap.
        let graph = drawn(&[Some(8.0), None, Some(2.0)]);
        assert_eq!((graph.so_far.as_str(), graph.dots.len()), ("", 1));
        assert!(graph.end.is_some() && graph.under_way().is_some());
        let graph = drawn(&[Some(8.0), Some(4.0), None]);
        assert!(graph.so_far.is_empty() && graph.end.is_none() && graph.under_way().is_none());
    }

    /// Names stand under their points whatever the number of points; within a day the time is name enough.
    #[test]
    fn names_below_the_axis_stand_under_their_points() {
        let at = |day: &str, hour: usize| Point {
            clock: Some((day.into(), format!("{hour:02}:00"))),
            ..point(Some(1.0))
        };
        let graph = Graph::new((0..24).map(|hour| at("25 Nov", hour)).collect());
        let names: Vec<&str> = graph.ticks.iter().map(|tick| tick.name.as_str()).collect();
        assert_eq!(
            names,
            ["00:00", "04:00", "08:00", "12:00", "16:00", "20:00"]
        );
        let graph = Graph::new(
            (0..24)
                .map(|hour| at(["24 Nov", "25 Nov"][hour / 12], hour))
                .collect(),
        );
        assert_eq!(graph.ticks[3].name, "25 Nov 12:00");
        let graph = Graph::new((0..31).map(|_| point(Some(1.0))).collect());
        let places: Vec<_> = graph
            .ticks
            .iter()
            .map(|tick| (tick.x.as_str(), tick.anchor))
            .collect();
        assert_eq!(places[0], ("1.61%", "start"));
        assert_eq!(places[3], ("50.00%", "middle"));
        assert_eq!(places[6], ("98.39%", "end"));
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (value, end) in [
            (0.0, 2.0),
            (1.0, 2.0),
            (3.0, 4.0),
            (7.0, 8.0),
            (11.0, 20.0),
            (101.0, 150.0),
            (0.03, 0.03),
            (12.5, 15.0),
        ] {
            assert!((ceiling(&[value]) - end).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn nothing_to_draw_is_no_fault() {
        let graph = Graph::new(Vec::new());
        assert!(graph.is_empty() && graph.line.is_empty() && graph.ticks.is_empty());
    }
}
