//! The live view: what runs now, and a bar over the whole list. [`render`] makes lines from the tally and is pure;
//! `Screen` puts them on the terminal below everything printed so far.
//!
//! A frame is written over the one before it in a single write and nothing is cleared first, so that it does not
//! flicker; the cursor is neither hidden nor moved away, so that there is nothing to restore whatever ends the program.

use super::tally::{Active, Tally};
use super::text::{Paint, clock, cut, fit, took, width};

/// Running tasks shown at most; the rest is counted.
const SHOWN: usize = 8;
/// Tasks that must have landed in this run before a time left is told.
const ENOUGH: usize = 3;

/// The frame for a terminal of `columns`, with at most `rows` tasks: each line is narrower than the terminal.
#[must_use]
pub fn render(tally: &Tally, columns: usize, rows: usize, paint: Paint) -> Vec<String> {
    let columns = columns.saturating_sub(1);
    let mut active: Vec<&Active> = tally.active.values().collect();
    active.sort_by_key(|task| task.index);
    let shown = active.len().min(SHOWN).min(rows.max(1));
    let mut lines = tasks(&active[..shown], tally, columns, paint);
    if shown < active.len() {
        lines.push(paint.dim(cut(&format!("+{} more", active.len() - shown), columns)));
    }
    lines.push(bar(tally, &active, columns, paint));
    lines
}

/// A line a task: label, title, phase, try, time, and where there is room the last line it printed.
fn tasks(active: &[&Active], tally: &Tally, columns: usize, paint: Paint) -> Vec<String> {
    let widest = |f: &dyn Fn(&Active) -> usize| active.iter().map(|task| f(task)).max().unwrap_or(0);
    let time = |task: &Active| clock(tally.now.saturating_sub(task.since).as_secs_f64());
    let phase = |task: &Active| match task.attempt {
        1 => task.phase.clone(),
        attempt => format!("{} try {attempt}", task.phase),
    };
    let (labels, titles) = (widest(&|task| width(&task.label)).min(12), widest(&|task| width(&task.title)));
    let times = widest(&|task| width(&time(task)));
    let mut phases = widest(&|task| width(&phase(task)));
    // Columns for title and output: what is left when label, phase and time have theirs, a space or two between.
    let mut rest = columns.saturating_sub(labels + 1 + 2 + phases + 1 + times);
    if rest < 8 {
        phases = 0;
        rest = columns.saturating_sub(labels + 1 + 1 + times);
    }
    let printed = active.iter().any(|task| !task.last_line.is_empty());
    let title = if printed && rest >= 32 { titles.min(rest / 2) } else { titles.min(rest) };
    let output = (rest - title).saturating_sub(2);
    let line = |task: &&Active| {
        let label = fit(&task.label, labels);
        let name = fit(&task.title, title);
        let time = format!("{:>times$}", time(task));
        if phases == 0 {
            return format!("{} {name} {time}", paint.strong(label));
        }
        let phase = fit(&phase(task), phases);
        let last = if printed && output >= 12 { cut(&task.last_line, output) } else { String::new() };
        let last = if last.is_empty() { last } else { format!("  {}", paint.dim(last)) };
        format!("{} {name}  {phase} {time}{last}", paint.strong(label))
    };
    active.iter().map(line).collect()
}

/// The bar over the whole list; its figures come first, in the order of their worth, as far as there is room.
fn bar(tally: &Tally, active: &[&Active], columns: usize, paint: Paint) -> String {
    let share = tally.done as f64 / tally.tasks.max(1) as f64;
    // Rounded down: 100 % is said only when all is done.
    let mut figures = vec![
        (format!("{}/{}", tally.done, tally.tasks), Kind::Plain),
        (format!("{}%", (share * 100.0) as u64), Kind::Plain),
    ];
    if tally.paused {
        figures.push(("paused".to_owned(), Kind::Warn));
    }
    if let Some((what, _)) = &tally.hold {
        figures.push((format!("waits for {what}"), Kind::Warn));
    }
    for (account, (until, _)) in tally.limited.iter().filter(|(_, (until, _))| *until > tally.now) {
        figures
            .push((format!("{account} again in {}", clock(until.saturating_sub(tally.now).as_secs_f64())), Kind::Warn));
    }
    let running = active.iter().filter(|task| task.phase != "waiting").count();
    if running > 0 {
        figures.push((format!("{running} running"), Kind::Plain));
    }
    if !tally.failed.is_empty() {
        figures.push((format!("{} failed", tally.failed.len()), Kind::Bad));
    }
    if let Some(used) = tally.used.show_money().or_else(|| tally.used.show()) {
        figures.push((used, Kind::Plain));
    }
    if let Some(left) = time_left(tally) {
        figures.push((format!("~{} left", took(left.round()).replace(".0s", "s")), Kind::Plain));
    }
    figures.push((clock(tally.now.as_secs_f64()), Kind::Dim));

    let mut text = String::new();
    let mut used = 0;
    for (figure, kind) in figures {
        let gap = if used == 0 { 0 } else { 2 };
        if used + gap + width(&figure) > columns {
            break;
        }
        used += gap + width(&figure);
        text.push_str(&" ".repeat(gap));
        text.push_str(&match kind {
            Kind::Plain => figure,
            Kind::Bad => paint.bad(figure),
            Kind::Warn => paint.warn(figure),
            Kind::Dim => paint.dim(figure),
        });
    }
    let room = columns.saturating_sub(used + 4).min(30);
    if room < 6 {
        return text;
    }
    let full = ((share * room as f64) as usize).min(room);
    let head = if full < room { ">" } else { "" };
    let empty = " ".repeat(room - full - head.len());
    format!("[{}{empty}]  {text}", paint.good(format!("{}{head}", "=".repeat(full))))
}

enum Kind {
    Plain,
    Bad,
    Warn,
    Dim,
}

/// An estimate of the seconds left: the work that is left, as long as tasks took on average, done at the rate at which
/// work was done so far. None until it means something.
#[must_use]
pub fn time_left(tally: &Tally) -> Option<f64> {
    if tally.landed < ENOUGH {
        return None;
    }
    let spent: Vec<f64> =
        tally.active.values().map(|task| tally.now.saturating_sub(task.since).as_secs_f64()).collect();
    let landed_mean = tally.landed_seconds / tally.landed as f64;
    // Tasks that run for longer than that already say that it is too low.
    let over: Vec<f64> = spent.iter().copied().filter(|spent| *spent > landed_mean).collect();
    let mean = (tally.landed_seconds + over.iter().sum::<f64>()) / (tally.landed + over.len()) as f64;
    let left = mean * tally.waiting() as f64 + spent.iter().map(|spent| (mean - spent).max(0.0)).sum::<f64>();
    let rate = (tally.landed_seconds + spent.iter().sum::<f64>()) / tally.now.as_secs_f64();
    let seconds = left / rate;
    (seconds.is_finite() && seconds >= 1.0).then_some(seconds)
}

/// What is drawn on a terminal now.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// The width of each line of the frame that is drawn.
    drawn: Vec<usize>,
    /// Lines that go above the frame the next time something is written.
    above: Vec<String>,
}

impl Screen {
    /// Puts a line above the frame with the next write.
    pub(super) fn print(&mut self, line: String) {
        self.above.push(line);
    }

    /// Whether there is anything to write at all.
    pub(super) fn is_empty(&self) -> bool {
        self.drawn.is_empty() && self.above.is_empty()
    }

    /// What to write to replace the frame by the lines that wait and `frame`, on a terminal of `columns`.
    pub(super) fn update(&mut self, frame: &[String], columns: usize) -> String {
        let columns = columns.max(1);
        // A terminal that became narrower has wrapped the lines.
        let rows: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        let up = if rows > 1 { format!("\x1b[{}A", rows - 1) } else { String::new() };
        // Lines above may be as wide as the terminal or wider, so the old frame is cleared before them, not behind each.
        let above: String = self.above.drain(..).map(|line| line + "\r\n").collect();
        let clear = if above.is_empty() { "" } else { "\x1b[J" };
        let frame_text = frame.join("\x1b[K\r\n");
        // Between the outermost two, a terminal that can shows nothing of the work in progress.
        let out = format!("\x1b[?2026h\r{up}{clear}{above}{frame_text}\x1b[J\x1b[?2026l");
        self.drawn = frame.iter().map(|line| width(&anstream::adapter::strip_str(line).to_string())).collect();
        out
    }
}
