//! What is due on a date: the rules of the configuration as one expression a table.
//!
//! Comes in: the sites with their days and holds, and the sites that rows are there of although nobody configures
//! them any more. Goes out: for each table SQL for the day on which a row is due, and for which reason. The same
//! arithmetic in Rust ([`Rules::is_due`]) judges records of the spool.
//!
//! A row is due on the earlier of two dates: the one set at its arrival (`expires`), which a longer retention does not
//! move, and its own day plus what the configuration says now, which makes a shorter one hold for what is stored.
//! Dates are compared with the date in UTC: a site east of it keeps its rows for some hours longer than its own
//! midnight, one west of it for some hours shorter.

use std::collections::BTreeSet;

use crate::config::retention::{Keep, Retention};
use crate::config::settings::Rotation;
use crate::config::{Site, SiteId, Sites};
use crate::event::Event;
use crate::policy::statement::DENIAL_DAYS;

/// Later than every date of ClickHouse's: a row that is not due at all.
const NEVER: u32 = 1_000_000;

/// A table whose rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // Named as in schema/.
pub enum Kept {
    Events,
    Restrictions,
    Visits,
    Daily,
    DerivedDays,
    Consents,
    Denials,
    Requests,
    AccessLog,
}

impl Kept {
    /// All of them, in the order in which they are purged.
    pub const ALL: [Kept; 9] = [
        Kept::Events,
        Kept::Restrictions,
        Kept::Visits,
        Kept::Daily,
        Kept::DerivedDays,
        Kept::Consents,
        Kept::Denials,
        Kept::Requests,
        Kept::AccessLog,
    ];

    /// Returns its name in `schema/`.
    pub fn name(self) -> &'static str {
        match self {
            Kept::Events => "events",
            Kept::Restrictions => "restrictions",
            Kept::Visits => "visits",
            Kept::Daily => "daily",
            Kept::DerivedDays => "derived_days",
            Kept::Consents => "consents",
            Kept::Denials => "denials",
            Kept::Requests => "requests",
            Kept::AccessLog => "access_log",
        }
    }

    /// Finds one by its name.
    pub fn named(name: &str) -> Option<Kept> {
        Kept::ALL.into_iter().find(|kept| kept.name() == name)
    }

    /// Returns the id of a partition that it cannot have.
    pub(super) fn no_partition(self) -> &'static str {
        match self {
            Kept::Events | Kept::Visits => "19700101",
            _ => "197001",
        }
    }

    /// Tells whether batches of the spool bring its rows, and count them.
    pub(super) fn is_delivered(self) -> bool {
        !matches!(self, Kept::Visits | Kept::Daily | Kept::DerivedDays)
    }

    /// Tells whether a partition all of whose rows are due can be dropped: nothing that is not due can arrive in it
    /// meanwhile, because its key is the date they are due on, or because the job alone writes to it.
    pub(super) fn is_dropped_by_partition(self, rule: Rule) -> bool {
        match self {
            Kept::Events => rule == Rule::Expired,
            Kept::Visits | Kept::Daily => true,
            _ => false,
        }
    }

    /// The date that a row is about.
    fn day(self) -> &'static str {
        match self {
            Kept::Consents | Kept::Requests | Kept::AccessLog => "toDate(ts)",
            _ => "day",
        }
    }

    /// The date that its days are counted from.
    fn base(self) -> &'static str {
        match self {
            Kept::Consents => "last_day",
            _ => self.day(),
        }
    }

    fn has_expires(self) -> bool {
        !matches!(
            self,
            Kept::Visits | Kept::Daily | Kept::DerivedDays | Kept::Denials
        )
    }

    /// What stays when its site goes: proof is owed all the same.
    fn outlives_its_site(self) -> bool {
        matches!(self, Kept::Consents | Kept::Requests | Kept::AccessLog)
    }
}

/// Why rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // Explained in schema/, purges.rule.
pub enum Rule {
    Expired,
    Removed,
    Shortened,
}

impl Rule {
    /// Returns its name in `purges`.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Expired => "expired",
            Rule::Removed => "removed",
            Rule::Shortened => "shortened",
        }
    }

    /// Finds one by its name.
    pub fn named(name: &str) -> Option<Rule> {
        [Rule::Expired, Rule::Removed, Rule::Shortened]
            .into_iter()
            .find(|rule| rule.name() == name)
    }
}

/// A site that rows are there of, and that is not configured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Removed {
    pub site: String,
    /// The date from which all its rows are due.
    pub due: u16,
}

#[derive(Clone, Debug)]
struct SiteRule {
    id: String,
    scope: String,
    keep: Keep,
    time_zone: String,
    rotation: Rotation,
    funnels: Vec<Vec<String>>,
    is_held: bool,
}

/// The rules in force, for one date.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The date in UTC, days since 1970-01-01.
    pub today: u16,
    /// Fewest visitors of a roll-up's row once its events are gone.
    pub k: u32,
    access_log: u16,
    sites: Vec<SiteRule>,
    removed: Vec<Removed>,
}

/// The steps of a site's funnels; two with the same steps are one.
fn funnels_of(site: &Site) -> Vec<Vec<String>> {
    let each = site.funnels.iter().map(|funnel| funnel.steps.clone());
    each.collect::<BTreeSet<_>>().into_iter().collect()
}

impl Rules {
    /// Takes the rules of the configuration.
    pub fn new(today: u16, k: u32, retention: &Retention, sites: &Sites) -> Rules {
        let rule = |site: &std::sync::Arc<crate::config::Site>| SiteRule {
            id: site.id.to_string(),
            scope: site.scope.clone(),
            keep: site.keep,
            time_zone: site.time_zone.iana_name().unwrap_or("UTC").to_owned(),
            rotation: site.rotation,
            funnels: funnels_of(site),
            is_held: site.legal_hold.is_some(),
        };
        Rules {
            today,
            k,
            access_log: retention.access_log,
            sites: sites.iter().map(rule).collect(),
            removed: Vec::new(),
        }
    }

    /// Adds the sites that are not configured any more.
    #[must_use]
    pub fn with_removed(mut self, removed: Vec<Removed>) -> Rules {
        self.removed = removed;
        self
    }

    /// Returns the sites that are not configured any more, and when their rows are due.
    pub fn removed(&self) -> &[Removed] {
        &self.removed
    }

    /// Returns the same rules for another date.
    #[must_use]
    pub fn on(&self, today: u16) -> Rules {
        Rules {
            today,
            ..self.clone()
        }
    }

    /// Tells whether a site is configured.
    pub fn knows(&self, site: &str) -> bool {
        self.sites.iter().any(|rule| rule.id == site)
    }

    /// Tells whether a site, or one of a scope, is under legal hold.
    pub(super) fn is_held(&self, name: &str) -> bool {
        let mut sites = self.sites.iter();
        sites.any(|site| site.is_held && (site.id == name || site.scope == name))
    }

    /// Returns the sites under legal hold.
    pub fn held(&self) -> Vec<String> {
        let held = self.sites.iter().filter(|site| site.is_held);
        held.map(|site| site.id.clone()).collect()
    }

    /// Returns the name of a site's time zone (IANA); none where the site is not configured.
    pub(super) fn time_zone(&self, site: &str) -> Option<&str> {
        let rule = self.sites.iter().find(|rule| rule.id == site);
        rule.map(|rule| rule.time_zone.as_str())
    }

    /// Returns how long a site's salts live; none where the site is not configured.
    pub(super) fn rotation(&self, site: &str) -> Option<Rotation> {
        let rule = self.sites.iter().find(|rule| rule.id == site);
        rule.map(|rule| rule.rotation)
    }

    /// Returns the steps of a site's funnels; none where the site is not configured.
    pub(super) fn funnels(&self, site: &str) -> &[Vec<String>] {
        let rule = self.sites.iter().find(|rule| rule.id == site);
        rule.map_or(&[], |rule| &rule.funnels)
    }

    /// Returns how long visits and daily of a site are kept, and its engagement events.
    pub(super) fn keep(&self, site: &str) -> Option<Keep> {
        let rule = self.sites.iter().find(|rule| rule.id == site);
        rule.map(|rule| rule.keep)
    }

    /// Tells whether an event must be gone today.
    pub fn is_due(&self, event: &Event<&str>) -> bool {
        let rule = self.sites.iter().find(|rule| rule.id == event.site);
        let removed = self.removed.iter().find(|r| r.site == event.site);
        let is_over = match (rule, removed) {
            (Some(rule), _) if rule.is_held => return false,
            (Some(rule), _) => {
                let last = event.day.saturating_add(rule.keep.of_event(event.name));
                last <= self.today
            }
            (None, Some(removed)) => removed.due <= self.today,
            (None, None) => false,
        };
        is_over || event.expires <= self.today
    }

    /// Returns the longest that any site keeps events, in days: what is older is due whosever it is. None while a
    /// site is held: it could be of that one.
    pub(super) fn longest(&self) -> Option<u16> {
        let is_free = self.sites.iter().all(|site| !site.is_held);
        let longest = self.sites.iter().map(|site| site.keep.events).max();
        longest.filter(|_| is_free)
    }

    /// SQL: the day number on which a row of the table is due.
    pub(super) fn due_sql(&self, kept: Kept) -> String {
        let expires = match kept {
            // Of a day whose events have begun to go nobody could take one's visits out again.
            Kept::Visits => format!(
                "if((site, day) IN (SELECT site, day FROM derived_days FINAL WHERE k > 0), {}, {NEVER})",
                self.today
            ),
            // As long as its events, which may be longer than was said when it was asked for.
            Kept::Restrictions => NEVER.to_string(),
            _ if kept.has_expires() => "toUInt32(expires)".to_owned(),
            _ => NEVER.to_string(),
        };
        let base = kept.base();
        if kept == Kept::AccessLog {
            return format!("least({expires}, toUInt32({base}) + {})", self.access_log);
        }
        let mut branches = Vec::new();
        let scoped = kept == Kept::Requests;
        let held = self.sites.iter().filter(|site| site.is_held);
        // A request may have been filed when its site was of no group yet, or of another.
        let names = |site: &'_ SiteRule| match scoped {
            true => vec![site.id.clone(), site.scope.clone()],
            false => vec![site.id.clone()],
        };
        let held: BTreeSet<String> = held.flat_map(names).collect();
        let held: Vec<&str> = held.iter().map(String::as_str).collect();
        if !held.is_empty() {
            branches.push(format!("site IN ({}), {NEVER}", list(&held)));
        }
        if kept == Kept::Restrictions {
            // Whoever has events that stay, and are not to be counted.
            branches.push(format!(
                "(site, visitor) IN (SELECT site, visitor FROM events WHERE {} > {} AND (site, visitor) IN \
                 (SELECT site, visitor FROM restrictions)), {NEVER}",
                self.due_sql(Kept::Events),
                self.today
            ));
        }
        if scoped && !held.is_empty() {
            // Filed under a group that is no more: the held site may have been of it.
            let scopes = self.sites.iter().flat_map(|rule| [&rule.id, &rule.scope]);
            let scopes: BTreeSet<&str> = scopes.map(String::as_str).collect();
            let scopes: Vec<&str> = scopes.into_iter().collect();
            branches.push(format!("site NOT IN ({}), {NEVER}", list(&scopes)));
        }
        for removed in self.removed.iter().filter(|_| !kept.outlives_its_site()) {
            let site = literal(&removed.site);
            let expires = match kept {
                Kept::Denials => format!("toUInt32(day) + {DENIAL_DAYS}"),
                _ => expires.clone(),
            };
            branches.push(format!("site = {site}, least({expires}, {})", removed.due));
        }
        for rule in &self.sites {
            let days = rule.days(kept, self.scope_requests(&rule.scope));
            let names: Vec<String> = names(rule);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            branches.push(format!(
                "site IN ({}), least({expires}, toUInt32({base}) + {days})",
                list(&names)
            ));
        }
        // A removed site within its grace: what was promised at the arrival still holds.
        let otherwise = match kept {
            Kept::Denials => format!("toUInt32(day) + {DENIAL_DAYS}"),
            _ => expires,
        };
        format!("multiIf({}, {otherwise})", branches.join(", "))
    }

    /// A request is about a scope: it is kept as long as one of its sites says.
    fn scope_requests(&self, scope: &str) -> u16 {
        let of_scope = self.sites.iter().filter(|site| site.scope == scope);
        of_scope.map(|site| site.keep.requests).max().unwrap_or(0)
    }

    /// SQL: the rule by which a row that is due goes.
    pub(super) fn rule_sql(&self, kept: Kept) -> String {
        let today = self.today;
        let own = match kept {
            _ if kept.has_expires() => format!("toUInt32(expires) <= {today}"),
            _ => "1".into(),
        };
        let removed: Vec<&str> = self.removed.iter().map(|r| r.site.as_str()).collect();
        let is_removed = match removed.is_empty() || kept == Kept::AccessLog {
            true => "0".to_owned(),
            false => format!("site IN ({})", list(&removed)),
        };
        match kept.has_expires() {
            true => format!("multiIf({own}, 'expired', {is_removed}, 'removed', 'shortened')"),
            false => format!("if({is_removed}, 'removed', 'expired')"),
        }
    }

    /// SQL: the site of a row, and the date it is about.
    pub(super) fn columns(kept: Kept) -> (&'static str, &'static str) {
        let site = match kept {
            Kept::AccessLog => "''",
            _ => "toString(site)",
        };
        (site, kept.day())
    }

    /// SQL: the rows of one site that go by one rule.
    pub(super) fn condition(&self, kept: Kept, site: &str, rule: Rule) -> String {
        let of_site = match kept {
            Kept::AccessLog => "1".to_owned(),
            _ => format!("site = {}", literal(site)),
        };
        format!(
            "{of_site} AND {} <= {} AND {} = '{}'",
            self.due_sql(kept),
            self.today,
            self.rule_sql(kept),
            rule.name()
        )
    }
}

impl SiteRule {
    /// SQL: the days that a row of the table is kept.
    fn days(&self, kept: Kept, requests: u16) -> String {
        let keep = &self.keep;
        let plain = match kept {
            Kept::Events => {
                let kinds = [
                    ("engagement", keep.engagement),
                    ("web_vitals", keep.web_vitals),
                ];
                let shorter: String = kinds
                    .iter()
                    .filter(|(_, days)| *days != keep.events)
                    .map(|(name, days)| format!("name = '{name}', {days}, "))
                    .collect();
                if !shorter.is_empty() {
                    return format!("multiIf({shorter}{})", keep.events);
                }
                keep.events
            }
            Kept::Restrictions => keep.events,
            Kept::Visits => keep.visits,
            Kept::Daily => keep.daily,
            // As long as a day can be counted, it is known that it was.
            Kept::DerivedDays => keep.daily.max(keep.events),
            Kept::Consents => keep.consents,
            Kept::Denials => DENIAL_DAYS,
            Kept::Requests | Kept::AccessLog => requests,
        };
        plain.to_string()
    }
}

/// Returns a site or scope as a literal. What is no id of ours (and so in no table) names nothing.
pub(super) fn literal(site: &str) -> String {
    let id = site.strip_prefix("group:").unwrap_or(site);
    match SiteId::new(id) {
        Some(_) => format!("'{site}'"),
        None => "''".into(),
    }
}

pub(super) fn list(sites: &[&str]) -> String {
    let literals: Vec<String> = sites.iter().map(|site| literal(site)).collect();
    literals.join(", ")
}
