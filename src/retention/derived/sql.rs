//! The statements that count a day. Meanings are those of `src/stats/`: a test holds the two together.

use std::collections::BTreeMap;
use std::slice::from_ref;

use crate::retention::rules::list;
use crate::rights::rows::all_restricted;
use crate::stats::{funnel, literal as text};

/// Orders the events of one visit, as in `stats`: by time, and within a millisecond by arrival.
pub(super) const AT: &str =
    "(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(ts)), 20) + seq % 1048576)";

/// A row about fewer visitors than this says which they are, by numbers: small rows that are folded together later, over
/// many days, can then be counted.
pub(crate) const FEW: u32 = 50;

pub(super) const SHORT: &str = "('engagement', 'web_vitals')";

/// Columns that a visit has from its first event.
pub(super) const FIRST: [&str; 21] = [
    "referrer",
    "source",
    "channel",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "country",
    "region",
    "city",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "device",
    "language",
    "screen",
    "platform",
    "app_version",
    "days_since_last",
];

/// The web vitals of an event, in the order of their bits in `vital_few`.
pub(crate) const VITALS: [&str; 5] = ["lcp_ms", "inp_ms", "cls", "fcp_ms", "ttfb_ms"];

/// SQL: an event that told a web vital.
pub(super) fn some_vital() -> String {
    VITALS.map(|name| format!("isNotNull({name})")).join(" OR ")
}

/// The dimension of the hours of the week: weekday and hour, as in the query API, with a space between.
pub(crate) const HOURS: &str = "visit:weekday visit:hour";

/// The dimension of properties: an event's name, URL-encoded, and after a space a property that it carries.
pub(crate) const PROPS: &str = "event:name event:props";

/// SQL: the properties of an event as values of [`PROPS`].
pub(super) const NAMED_PROPS: &str = "arrayMap(key -> concat(encodeURLComponent(toString(name)), ' ', toString(key)), mapKeys(props))";

/// SQL: the hour of the week in which a visit of a site began, by the time zones of the sites.
pub(super) fn hours_sql(zones: &[(String, String)], began: &str) -> String {
    let mut sites_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (site, zone) in zones {
        sites_of.entry(zone).or_default().push(site);
    }
    let branches: String = sites_of
        .iter()
        .map(|(zone, sites)| {
            let zone = text(zone);
            format!(
                "site IN ({}), concat(toString(toDayOfWeek({began}, 0, {zone})), ' ', leftPad(toString(toHour({began}, {zone})), 2, '0')), ",
                list(sites)
            )
        })
        .collect();
    match branches.is_empty() {
        true => "''".into(),
        false => format!("multiIf({branches}'')"),
    }
}

/// One day's counting.
pub(super) struct Day {
    pub(super) day: u16,
    /// Stands on every row, and in `derived_days` once they are in place.
    pub(super) counting: u64,
    /// Fewest visitors of a row, where the day is final.
    pub(super) k: u32,
    /// Sites that are counted anew.
    pub(super) all: Vec<String>,
    /// Those of them that get rows in `visits`, and in `daily`.
    pub(super) visits: Vec<String>,
    pub(super) daily: Vec<String>,
    /// Those whose visits are what they were: `daily` alone is counted anew.
    pub(super) same_visits: Vec<String>,
    pub(super) final_sites: Vec<String>,
    /// Those that keep the engagement they had.
    pub(super) carried: Vec<String>,
    /// Those whose web vitals are kept.
    pub(super) vitals: Vec<String>,
    /// Time zones of the sites.
    pub(super) zones: Vec<(String, String)>,
    /// Steps of the funnels of the sites whose events of the day stay.
    pub(super) funnels: BTreeMap<String, Vec<Vec<String>>>,
}

/// `site IN (…)`; nothing is in an empty list.
fn is_in(sites: &[String]) -> String {
    let names: Vec<&str> = sites.iter().map(String::as_str).collect();
    match names.is_empty() {
        true => "0".into(),
        false => format!("site IN ({})", list(&names)),
    }
}

impl Day {
    fn events(&self, sites: &[String]) -> String {
        format!(
            "day = toDate({}) AND {} AND (site, visitor) NOT IN ({})",
            self.day,
            is_in(sites),
            all_restricted()
        )
    }

    /// Events of the day, with the number of their visitor within site and day.
    fn numbered(&self, sites: &[String]) -> String {
        format!(
            "(SELECT *, toUInt32(dense_rank() OVER (PARTITION BY site ORDER BY visitor)) AS number FROM events WHERE {})",
            self.events(sites)
        )
    }

    /// A row a visit, with the columns of its first event as `v_…`.
    fn visits_of(&self, sites: &[String]) -> String {
        let firsts: String = FIRST
            .iter()
            .map(|column| format!(", argMin({column}, {AT}) AS v_{column}"))
            .collect();
        format!(
            "SELECT site, visit, any(number) AS v_visitor, min(ts) AS v_began, \
             toUInt64(toUnixTimestamp64Milli(max(ts)) - toUnixTimestamp64Milli(min(ts))) AS v_duration, \
             countIf(name = 'pageview') AS v_pageviews, countIf(name NOT IN {SHORT}) AS v_events, count() AS v_all, \
             countIf(name = 'pageview') = 1 AND \
             countIf(interactive AND name NOT IN ('pageview', 'engagement', 'web_vitals')) = 0 AS v_bounce, \
             sum(engagement_ms) AS v_engaged, maxOrNullIf(scroll_depth, scroll_depth <= 100) AS v_scroll, \
             argMinIf(path, {AT}, name = 'pageview') AS v_entry_page, argMaxIf(path, {AT}, name = 'pageview') AS v_exit_page, \
             argMinIf(hostname, {AT}, name = 'pageview') AS v_entry_hostname, \
             argMaxIf(hostname, {AT}, name = 'pageview') AS v_exit_hostname{firsts} \
             FROM {} GROUP BY site, visit",
            self.numbered(sites)
        )
    }

    pub(super) fn visits_sql(&self) -> String {
        let firsts: String = FIRST.iter().map(|column| format!(", v_{column}")).collect();
        format!(
            "INSERT INTO visits_next SELECT site, toDate({}), \
             v_visitor, v_began, v_duration, \
             toUInt32(v_pageviews), toUInt32(v_events), toUInt32(v_all), v_bounce, v_engaged, v_entry_page, v_exit_page, \
             v_entry_hostname{firsts}, ifNull(v_scroll, 255), {} FROM ({})",
            self.day,
            self.counting,
            self.visits_of(&self.visits)
        )
    }

    pub(super) fn daily_sql(&self) -> String {
        let day = self.day;
        let firsts: String = FIRST
            .iter()
            .map(|column| format!(", ('visit:{column}', toString(v_{column}))"))
            .collect();
        let hours = hours_sql(&self.zones, "v_began");
        // Small rows are folded as `stats::protect` does, so that neither a row nor what is missing from the whole
        // is about fewer than k.
        let k = format!("if({}, {}, 0)", is_in(&self.final_sites), self.k);
        let small = format!("n_visitors < {k} OR ({k} > 0 AND value = '(other)')");
        format!(
            "INSERT INTO daily_next WITH \
             of_visits AS ({visits}), \
             pairs AS (SELECT site, v_visitor AS visitor, visit, pair.1 AS dimension, pair.2 AS value, v_pageviews AS pageviews, \
             v_events AS n_events, toUInt64(v_bounce) AS bounces, v_duration AS duration, toUInt64(v_engaged) AS engaged, \
             toFloat64(0) AS amount, if(pair.1 = '', v_scroll, NULL) AS depth FROM of_visits ARRAY JOIN [('', ''), ('visit:entry_page', v_entry_page), \
             ('visit:exit_page', v_exit_page), ('visit:entry_page_hostname', toString(v_entry_hostname)), \
             ('visit:exit_page_hostname', toString(v_exit_hostname)), ('{HOURS}', {hours}){firsts}] AS pair \
             UNION ALL SELECT site, number, visit, pair.1, pair.2, toUInt64(name = 'pageview'), \
             toUInt64(name NOT IN {SHORT}), toUInt64(0), toUInt64(0), toUInt64(engagement_ms), \
             if(pair.1 = 'event:currency', revenue, 0.), CAST(NULL, 'Nullable(UInt8)') \
             FROM {events} ARRAY JOIN arrayConcat([('event:page', path), ('event:hostname', toString(hostname)), \
             ('event:name', toString(name)), ('event:goal', concat('Visit ', path)), \
             ('event:currency', toString(currency))], arrayMap(named -> ('{PROPS}', named), {NAMED_PROPS})) AS pair \
             WHERE (pair.1 NOT IN ('event:name', 'event:currency', '{PROPS}') OR name NOT IN {SHORT}) \
             AND (pair.1 != 'event:goal' OR name = 'pageview') AND (pair.1 != 'event:currency' OR pair.2 != '')), \
             counted AS (SELECT site, dimension, value, uniqExactState(visitor) AS s_visitors, uniqExactState(visit) AS s_visits, \
             sum(pageviews) AS pageviews, sum(n_events) AS n_events, sum(bounces) AS bounces, sum(duration) AS duration, \
             sum(engaged) AS engaged, sum(amount) AS amount, toUInt64(sumIf(assumeNotNull(depth), isNotNull(depth))) AS depths, \
             countIf(isNotNull(depth)) AS n_deep, uniqExactIfState(visitor, isNotNull(depth)) AS s_deep, \
             groupUniqArrayState({FEW})(visitor) AS s_few FROM pairs GROUP BY site, dimension, value), \
             sized AS (SELECT counted.*, finalizeAggregation(s_visitors) AS n_visitors, {small} AS is_small, \
             {carried} AS is_carried, if(is_carried, old_engaged, engaged) AS all_engaged, if(is_carried, old_depth, depths) AS all_depth, \
             if(is_carried, old_n_deep, n_deep) AS all_n_deep, old_visitors_deep FROM counted LEFT JOIN \
             (SELECT site, dimension, value, engagement_ms AS old_engaged, scroll AS old_depth, scroll_visits AS old_n_deep, \
             scroll_visitors AS old_visitors_deep FROM daily WHERE day = toDate({day}) AND {carried}) AS old \
             USING (site, dimension, value)), \
             ranked AS (SELECT *, countIf(is_small) OVER (PARTITION BY site, dimension) AS n_small, \
             uniqExactMergeIf(s_visitors, is_small) OVER (PARTITION BY site, dimension) AS n_together, \
             row_number() OVER (PARTITION BY site, dimension, is_small ORDER BY n_visitors, value) AS place FROM sized), \
             folded AS (SELECT *, if(is_small OR (place = 1 AND n_small > 0 AND (n_small = 1 OR n_together < {k})), '(other)', value) \
             AS shown FROM ranked), \
             summed AS (SELECT site, dimension, shown, uniqExactMerge(s_visitors) AS n, uniqExactMerge(s_visits) AS n_visits, \
             sum(pageviews) AS all_views, sum(n_events) AS all_events, sum(bounces) AS all_bounces, sum(duration) AS all_duration, \
             sum(all_engaged) AS time_engaged, sum(amount) AS all_amount, sum(all_depth) AS depth, sum(all_n_deep) AS visits_deep, \
             if(any(is_carried), sum(old_visitors_deep), uniqExactIfMerge(s_deep)) AS visitors_deep, \
             if({k} = 0 AND n < {FEW}, arraySort(groupUniqArrayMerge({FEW})(s_few)), []) AS few \
             FROM folded GROUP BY site, dimension, shown), \
             told AS ({vitals}) \
             SELECT site, toDate({day}), dimension, shown, n, n_visits, all_views, all_events, all_bounces, all_duration, time_engaged, \
             all_amount, if(visitors_deep < {k}, 0, depth), if(visitors_deep < {k}, 0, visits_deep), if(visitors_deep < {k}, 0, visitors_deep), few, {counting}, \
             {told}, vital_visitors, if({k} = 0 AND n < {FEW}, vital_few, []), [] \
             FROM summed LEFT JOIN told USING (site, dimension, shown) WHERE n >= {k} AND (dimension != '' OR shown = '')",
            counting = self.counting,
            visits = self.visits_of(&self.daily),
            events = self.numbered(&self.daily),
            carried = is_in(&self.carried),
            vitals = self.vitals_sql(),
            told = VITALS.join(", "),
        )
    }

    /// Returns the numbers of the funnels that a site is counted for.
    pub(super) fn funnels_of(&self, site: &str) -> Vec<u64> {
        let funnels = self.funnels.get(site).into_iter().flatten();
        funnels.map(|steps| funnel::number(steps)).collect()
    }

    /// How far visitors came: a statement a funnel, because steps may be long and a statement may not. Steps that nobody
    /// reached have no row.
    pub(super) fn funnels_sql(&self) -> Vec<String> {
        let of_site = |site: &String| {
            let funnels = self.funnels.get(site).into_iter().flatten();
            let statements = funnels.map(|steps| self.funnel_sql(site, steps));
            statements.collect::<Vec<_>>()
        };
        self.daily.iter().flat_map(of_site).collect()
    }

    fn funnel_sql(&self, site: &String, steps: &[String]) -> String {
        let (events, step) = (self.events(from_ref(site)), funnel::is_step(steps));
        format!(
            "INSERT INTO daily_next (site, day, dimension, value, visitors, counting) \
             SELECT {}, toDate({}), '{}', toString(step), n, {} FROM (SELECT {} AS reached FROM ({})) \
             ARRAY JOIN reached AS n, arrayEnumerate(reached) AS step WHERE n > 0",
            text(site),
            self.day,
            funnel::dimension(funnel::number(steps)),
            self.counting,
            funnel::reached(steps.len()),
            funnel::levels(steps, &format!("events WHERE {events} AND {step}")),
        )
    }

    /// Web vitals of the whole site and of its pages.
    fn vitals_sql(&self) -> String {
        let each = |of: &dyn Fn(usize, &str) -> String| -> Vec<String> {
            VITALS
                .iter()
                .enumerate()
                .map(|(bit, name)| of(bit, name))
                .collect()
        };
        let bits = each(&|bit, name| format!("toUInt64({}) * max(isNotNull({name}))", 1u32 << bit));
        let values = each(&|_, name| format!("groupArray({name}) AS a_{name}"));
        let all = each(&|_, name| format!("arraySort(groupArrayArray(a_{name})) AS {name}"));
        let visitors = each(&|bit, _| format!("toUInt32(countIf(bitTest(bits, {bit})))"));
        format!(
            "SELECT site, dimension, shown, {}, [{}] AS vital_visitors, arraySort(groupArray(toUInt64(number) * 32 + bits)) \
             AS vital_few FROM (SELECT site, pair.1 AS dimension, pair.2 AS shown, number, {}, {} AS bits \
             FROM {} ARRAY JOIN [('', ''), ('event:page', path)] AS pair WHERE {} AND ({}) \
             GROUP BY site, dimension, shown, number) GROUP BY site, dimension, shown",
            all.join(", "),
            visitors.join(", "),
            values.join(", "),
            bits.join(" + "),
            self.numbered(&self.daily),
            is_in(&self.vitals),
            some_vital(),
        )
    }

    /// The rows of the day in `visits` of sites that are not counted anew, as they are; those of sites whose visits are what
    /// they were, with the number of this counting.
    pub(super) fn kept_visits_sql(&self) -> String {
        let same = is_in(&self.same_visits);
        format!(
            "INSERT INTO visits_next SELECT * REPLACE (if({same}, {}, counting) AS counting) FROM visits \
             WHERE day = toDate({}) AND (NOT ({}) OR {same})",
            self.counting,
            self.day,
            is_in(&self.all)
        )
    }
}
