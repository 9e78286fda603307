//! What must be there after any sequence of inserts, clock steps, changes of retention and runs: kept by plain
//! counting in memory, independent of every line of SQL.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Sites of the reference configuration.
pub(crate) const SITES: [&str; 6] = ["portal", "pernexus", "veriloc", "ios", "android", "windows"];

/// Names of events that are stored here; the second may be kept for a shorter time.
const NAMES: [&str; 2] = ["pageview", "engagement"];

/// Retention of one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Days {
    pub(crate) events: i64,
    pub(crate) engagement: i64,
    pub(crate) is_held: bool,
}

impl Days {
    fn of(&self, name: usize) -> i64 {
        [self.events, self.engagement.min(self.events)][name]
    }
}

/// Events of one site, day and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    site: usize,
    day: i64,
    name: usize,
    expires: i64,
    n: u64,
}

/// All that is known.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) keep: [Days; 6],
    rows: Vec<Rows>,
    /// Events that had to go, all sites together.
    pub(crate) gone: u64,
    /// Page views of each site's day, whether its events are there or not: each of another visitor.
    pub(crate) views: BTreeMap<(usize, i64), u64>,
}

impl Model {
    pub(crate) fn new(keep: [Days; 6]) -> Model {
        Model {
            keep,
            rows: Vec::new(),
            gone: 0,
            views: BTreeMap::new(),
        }
    }

    /// Notes that `n` visitors have one page view each on a day, and an engagement event each, which tells a web vital.
    pub(crate) fn insert(&mut self, site: usize, day: i64, n: u64) {
        for name in 0..NAMES.len() {
            let expires = day + self.keep[site].of(name);
            self.rows.push(Rows {
                site,
                day,
                name,
                expires,
                n,
            });
        }
        *self.views.entry((site, day)).or_default() += n;
    }

    /// The statement that stores the rows noted since `from`.
    pub(crate) fn sql(&self, from: usize) -> String {
        let mut tuples = String::new();
        for row in &self.rows[from..] {
            write!(
                tuples,
                "('{}',{},'{}',{},{}),",
                SITES[row.site], row.day, NAMES[row.name], row.expires, row.n
            )
            .expect("writes to memory");
        }
        format!(
            "INSERT INTO brine.events (site, day, ts, name, visitor, visit, interactive, hostname, path, engagement_ms, lcp_ms, expires, \
             batch_id, seq) SELECT t.1, toDate(t.2), fromUnixTimestamp64Milli(toInt64(t.2) * 86400000 + 43200000 + n), t.3, \
             cityHash64(t.1, t.2, n), cityHash64('v', t.1, t.2, n), 1, 'h', concat('/', toString(n % 2)), \
             if(t.3 = 'engagement', 1000, 0), if(t.3 = 'engagement', 900, NULL), toDate(t.4), toUInt128(t.2), n FROM \
             (SELECT arrayJoin([{}]) AS t) ARRAY JOIN range(toUInt64(t.5)) AS n SETTINGS max_partitions_per_insert_block = 0",
            tuples.trim_end_matches(',')
        )
    }

    /// Returns how many entries there are: a mark for [`Model::sql`].
    pub(crate) fn mark(&self) -> usize {
        self.rows.len()
    }

    /// A run of the job.
    pub(crate) fn run(&mut self, today: i64) {
        let keep = self.keep;
        let is_due = |row: &Rows| {
            let days = keep[row.site];
            !days.is_held && (row.expires <= today || row.day + days.of(row.name) <= today)
        };
        self.gone += self
            .rows
            .iter()
            .filter(|r| is_due(r))
            .map(|r| r.n)
            .sum::<u64>();
        self.rows.retain(|row| !is_due(row));
    }

    /// What `events` must hold, a line a site, day and name.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut counts: BTreeMap<(&str, i64, &str), u64> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.n > 0) {
            *counts
                .entry((SITES[row.site], row.day, NAMES[row.name]))
                .or_default() += row.n;
        }
        counts
            .iter()
            .map(|((site, day, name), n)| format!("{site}\t{day}\t{name}\t{n}"))
            .collect()
    }

    /// Tells whether a page view of a site's day is still there.
    fn has_views(&self, site: usize, day: i64) -> bool {
        self.rows
            .iter()
            .any(|row| (row.site, row.day, row.name) == (site, day, 0) && row.n > 0)
    }

    /// What the whole-site rows of `daily` must be on `today`: closed days, and of those whose events are gone only the
    /// ones about `k` visitors and more.
    pub(crate) fn daily(&self, today: i64, k: u64) -> Vec<String> {
        let mut lines = Vec::new();
        for (&(site, day), &n) in &self.views {
            let is_there = self.has_views(site, day);
            let is_shown = if is_there { day <= today - 2 } else { n >= k };
            if is_shown && n > 0 {
                lines.push(format!("{}\t{day}\t{n}\t{n}", SITES[site]));
            }
        }
        lines.sort();
        lines
    }

    /// The configuration, with the model's days.
    pub(crate) fn settings(&self, reference: &str) -> String {
        let mut text = reference.replace("retention_days = 395 ", "# ");
        for (site, days) in SITES.iter().zip(&self.keep) {
            let id = format!("id = \"{site}\"\n");
            let hold = if days.is_held {
                "legal_hold = \"a case\"\n"
            } else {
                ""
            };
            let engagement = days.engagement.min(days.events);
            text = text.replace(
                &id,
                &format!(
                    "{id}retention_days = {}\nretention = {{ engagement = {engagement}, web_vitals = {engagement} }}\n{hold}",
                    days.events
                ),
            );
        }
        text
    }
}
