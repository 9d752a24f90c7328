//! Rows of a ladder: lines of life, arrows, bars and text between them.

/// How a row is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Request,
    Response,
    Refusal,
    Media,
    Dim,
}

impl Paint {
    /// The SGR parameter (ECMA-48 section 8.3.117).
    fn code(self) -> u8 {
        match self {
            Paint::Request => 36,
            Paint::Response => 32,
            Paint::Refusal => 31,
            Paint::Media => 33,
            Paint::Dim => 2,
        }
    }
}

/// Draws rows.
#[derive(Debug)]
pub(super) struct Canvas {
    lines: Vec<usize>,
    colour: bool,
    /// The columns between which media flows.
    media: Option<(usize, usize)>,
}

impl Canvas {
    pub(super) fn new(lines: &[usize], colour: bool) -> Self {
        Self { lines: lines.to_vec(), colour, media: None }
    }

    pub(super) fn set_media(&mut self, columns: Option<(usize, usize)>) {
        self.media = columns;
    }

    /// Names, centred over the lines as far as there is room.
    pub(super) fn titles(&self, titles: &[String]) -> String {
        let mut row: Vec<char> = Vec::new();
        let widest = self.lines.last().map_or(0, |last| last + 12);
        for (title, line) in titles.iter().zip(&self.lines) {
            let gap = self.lines.get(1).zip(self.lines.first()).map_or(24, |(one, zero)| one - zero);
            let title: Vec<char> = title.chars().take(gap.saturating_sub(1)).collect();
            let start = line.saturating_sub(title.len() / 2).min(widest.saturating_sub(title.len()));
            let start = if row.is_empty() { start } else { start.max(row.len() + 1) };
            row.resize(start, ' ');
            row.extend(title);
        }
        finish(&row)
    }

    /// A message from column `from` to column `to`; a label that is too long stands above the arrow.
    pub(super) fn arrow(&self, time: &str, from: usize, to: usize, label: &str, paint: Paint) -> String {
        let (left, right) = self.between(from, to);
        let room = (right - left).saturating_sub(7);
        let label: Vec<char> = label.chars().collect();
        let mut text = String::new();
        let (mut time, mut inside) = (time, &label[..]);
        if label.len() > room {
            text += &self.text(time, from, to, &label.iter().collect::<String>(), paint);
            (time, inside) = ("", &[]);
        }
        let mut row = self.row(time);
        for place in row.iter_mut().take(right).skip(left + 1) {
            *place = '─';
        }
        let head = if from < to { (right - 1, '▶') } else { (left + 1, '◀') };
        set(&mut row, head.0, head.1);
        if !inside.is_empty() {
            let start = left + 1 + (right - left - 1 - inside.len() - 2) / 2;
            set(&mut row, start, ' ');
            for (index, character) in inside.iter().enumerate() {
                set(&mut row, start + 1 + index, *character);
            }
            set(&mut row, start + 1 + inside.len(), ' ');
        }
        text + &self.painted(&row, left + 1, right, paint)
    }

    /// Media between two columns.
    pub(super) fn bar(&self, time: &str, from: usize, to: usize, label: &str) -> String {
        let (left, right) = self.between(from, to);
        let room = (right - left).saturating_sub(9);
        let mut text = String::new();
        let mut time = time;
        let (label, below): (Vec<char>, Vec<char>) = if label.chars().count() <= room {
            (label.chars().collect(), Vec::new())
        } else {
            ("RTP".chars().collect(), label.chars().collect())
        };
        let mut row = self.row(std::mem::take(&mut time));
        for place in row.iter_mut().take(right).skip(left + 1) {
            *place = '═';
        }
        set(&mut row, left + 1, '◀');
        set(&mut row, right - 1, '▶');
        let start = left + 1 + (right - left - 1).saturating_sub(label.len() + 2) / 2;
        set(&mut row, start, ' ');
        for (index, character) in label.iter().enumerate() {
            set(&mut row, start + 1 + index, *character);
        }
        set(&mut row, start + 1 + label.len(), ' ');
        text += &self.painted(&row, left + 1, right, Paint::Media);
        if !below.is_empty() {
            text += &self.text(time, from, to, &below.iter().collect::<String>(), Paint::Media);
        }
        text
    }

    /// Words between two columns, wrapped.
    pub(super) fn text(&self, time: &str, from: usize, to: usize, words: &str, paint: Paint) -> String {
        let (left, right) = self.between(from, to);
        let room = (right - left).saturating_sub(3).max(1);
        let mut text = String::new();
        for (index, line) in wrap(words, room).into_iter().enumerate() {
            let mut row = self.row(if index == 0 { time } else { "" });
            for (place, character) in line.iter().enumerate() {
                set(&mut row, left + 2 + place, *character);
            }
            text += &self.painted(&row, left + 2, left + 2 + line.len(), paint);
        }
        text
    }

    fn between(&self, from: usize, to: usize) -> (usize, usize) {
        let at = |column: usize| self.lines.get(column).or(self.lines.last()).copied().unwrap_or_default();
        (at(from.min(to)), at(from.max(to)))
    }

    /// A row with nothing but the time and the lines.
    fn row(&self, time: &str) -> Vec<char> {
        let mut row = vec![' '; self.lines.last().map_or(0, |last| last + 1)];
        for (index, character) in time.chars().enumerate() {
            set(&mut row, index, character);
        }
        for (column, line) in self.lines.iter().enumerate() {
            let flows = self.media.is_some_and(|(one, two)| column == one || column == two);
            set(&mut row, *line, if flows { '║' } else { '│' });
        }
        row
    }

    fn painted(&self, row: &[char], from: usize, to: usize, paint: Paint) -> String {
        if !self.colour {
            return finish(row);
        }
        let part = |range: std::ops::Range<usize>| row.get(range).unwrap_or_default().iter().collect::<String>();
        let to = to.min(row.len());
        let tail = part(to..row.len());
        format!("{}\u{1b}[{}m{}\u{1b}[0m{}\n", part(0..from), paint.code(), part(from..to), tail.trim_end())
    }
}

fn set(row: &mut [char], at: usize, character: char) {
    if let Some(place) = row.get_mut(at) {
        *place = character;
    }
}

fn finish(row: &[char]) -> String {
    let text: String = row.iter().collect();
    format!("{}\n", text.trim_end())
}

/// Lines of at most `room` characters, broken between words where that is possible.
fn wrap(words: &str, room: usize) -> Vec<Vec<char>> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    for word in words.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let line = lines.last().map_or(0, Vec::len);
        if line > 0 && line + 1 + word.len() > room {
            lines.push(Vec::new());
        }
        while !word.is_empty() {
            let Some(line) = lines.last_mut() else { break };
            if !line.is_empty() {
                line.push(' ');
            }
            let rest = word.split_off(word.len().min(room.saturating_sub(line.len())));
            line.extend(word);
            word = rest;
            if !word.is_empty() {
                lines.push(Vec::new());
            }
        }
    }
    lines
}
