//! Small numbers stay hidden.
//!
//! Comes in: the rows of a counting, as aggregate states. Goes out: rows that may be shown.
//!
//! **Breakdowns.** A row with fewer than `k` visitors is folded into one row `(other)`, which is counted, not
//! added up. Where it would hold a single row, or still fewer than `k` visitors, the next smallest row is
//! folded too: otherwise the total minus the rows shown would be the row hidden. Within a breakdown over
//! time this holds for every point by itself.
//!
//! **Points and totals.** What is shown of a whole site by day, week or month may be small. A filtered
//! number, an hour, a minute, or a stretch of instants with fewer than `k` visitors has no value (null); if these
//! are one, or have fewer than `k` visitors together, the next smallest loses its value too.
//!
//! **Filters.** Where a filter matches, or spares, fewer than `k` visitors (but some), nothing is answered:
//! the unfiltered number minus the filtered one would be theirs (`is_gated`). Over time this holds for every point by
//! itself: one of which a filter spares few has no value.
//!
//! **Figures of few.** Of a row's visitors few may have bought, told a web vital, or begun their visit there: what is of
//! these alone has no value. Amounts add up: where one has none, the amount of the next fewest buyers has none either.
//!
//! **What is not promised.** Someone who asks many overlapping questions may still narrow a number down
//! by comparing the answers. That needs noise or a budget of questions, and brine has neither.

/// The folded row's value in every dimension but time.
pub const OTHER: &str = "(other)";

/// What the links that protect must know of a counting.
pub(super) struct Shape<'a> {
    /// For each key `k0, k1, …` whether it is time.
    pub(super) keys: &'a [bool],
    pub(super) k: u32,
    /// Low points and totals lose their value.
    pub(super) is_protected: bool,
    /// The expression for the visitors of all rows together.
    pub(super) matched: String,
    /// Rows are counts (`n_…`, of them `n_final` of nobody knows whom), and `s_visitors` lists the visitors of small ones.
    pub(super) is_counted: bool,
    /// The first key tells several breakdowns apart, which are protected each by itself.
    pub(super) is_together: bool,
    /// A filter over time: what tells of each point whom it spares.
    pub(super) spared: Option<Spared>,
    /// Amounts of money are asked for, by some dimension.
    pub(super) has_amounts: bool,
}

/// Whom a filter spares at each point of time.
pub(super) struct Spared {
    /// The link `everyone`: the key of time, by the name it has in the answer, and `n_everyone`.
    pub(super) link: String,
    /// The expression for the visitors of a point whom the filter matches, over the rows; none: of the answer they are those
    /// that the link tells as `n_matching`.
    pub(super) matched: Option<String>,
}

impl Shape<'_> {
    /// Returns the links from `rows` (keys, states `s_…`) to `shown`: keys `d…`, merged parts `p_…`,
    /// `matched` (visitors in all rows together), `n_folded`, `is_folded`, `is_hidden`. `merges` turns
    /// states into parts.
    pub(super) fn links(&self, merges: &[String]) -> Vec<String> {
        let k = self.k;
        let merges = merges.join(", ");
        let names = |keep: &dyn Fn(bool) -> bool| -> Vec<String> {
            let keys = self.keys.iter().enumerate();
            keys.filter(|(_, is_time)| keep(**is_time))
                .map(|(i, _)| format!("k{i}"))
                .collect()
        };
        let (all, time, parted) = (names(&|_| true), names(&|t| t), names(&|t| !t));
        let mut links = Vec::new();

        let matched = &self.matched;
        let matched = match self
            .spared
            .as_ref()
            .and_then(|spared| spared.matched.as_ref())
        {
            None => format!("{matched} AS n_matched"),
            Some(here) => format!("{matched} AS n_matched, {here} AS n_matched_here"),
        };
        let known = match self.is_counted {
            true => format!("SELECT *, {matched} FROM rows"),
            false => format!(
                "SELECT *, finalizeAggregation(s_visitors) AS n_visitors, {matched} FROM rows"
            ),
        };
        if parted.is_empty() {
            links.push(format!(
                "folded AS (SELECT *, 0 AS is_folded FROM ({known}))"
            ));
        } else {
            // A value that reads like the folded row's would be taken for it: it is folded as well.
            let forced: String = parted
                .iter()
                .map(|key| format!(" OR {key} = '{OTHER}'"))
                .collect();
            let within = |more: &str| {
                let keys: Vec<&str> = time
                    .iter()
                    .map(String::as_str)
                    .chain([more])
                    .filter(|key| !key.is_empty())
                    .collect();
                if keys.is_empty() {
                    String::new()
                } else {
                    format!("PARTITION BY {}", keys.join(", "))
                }
            };
            links.push(format!(
                "small AS (SELECT *, n_visitors < {k}{forced} AS is_small FROM ({known}))"
            ));
            links.push(format!(
                "ranked AS (SELECT *, countIf(is_small) OVER ({here}) AS n_small, \
                 {together} AS n_together, \
                 row_number() OVER ({by_size} ORDER BY n_visitors, {keys}) AS rank FROM small)",
                here = within(""),
                together = match self.is_counted {
                    true => format!(
                        "uniqExactArrayIf(s_visitors, is_small) OVER ({here}) + sumIf(n_final, is_small) OVER ({here})",
                        here = within("")
                    ),
                    false => format!("uniqExactMergeIf(s_visitors, is_small) OVER ({})", within("")),
                },
                by_size = within("is_small"),
                keys = all.join(", "),
            ));
            links.push(format!(
                "folded AS (SELECT *, is_small OR (rank = 1 AND n_small > 0 AND (n_small = 1 OR n_together < {k})) \
                 AS is_folded FROM ranked)"
            ));
        }

        let merged: String = (0..)
            .zip(self.keys)
            .map(|(i, is_time): (usize, &bool)| match is_time {
                true => format!("k{i} AS d{i}, "),
                false => format!("if(is_folded, '{OTHER}', k{i}) AS d{i}, "),
            })
            .collect();
        let d_keys: Vec<String> = (0..self.keys.len()).map(|i| format!("d{i}")).collect();
        let group = if d_keys.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {}, is_folded", d_keys.join(", "))
        };
        let folded = if d_keys.is_empty() {
            "0 AS is_folded"
        } else {
            "is_folded"
        };
        let mut carried = String::new();
        if self
            .spared
            .as_ref()
            .is_some_and(|spared| spared.matched.is_some())
        {
            carried.push_str("any(n_matched_here) AS n_matching, ");
        }
        // Only rows that are not counts are ever low.
        if self.is_protected {
            carried.push_str("uniqExactMergeState(s_visitors) AS m_visitors, ");
        }
        links.push(format!(
            "merged AS (SELECT {merged}{folded}, {merges}, {carried}any(n_matched) AS matched, \
             countIf(is_folded) AS n_folded FROM folded{group})"
        ));

        if self.is_protected {
            let keys: String = d_keys.iter().map(|key| format!(", {key}")).collect();
            let (apart, each) = match self.is_together {
                true => ("PARTITION BY d0", "d0, "),
                false => ("", ""),
            };
            let (spares_few, from) = match &self.spared {
                None => (String::new(), "merged".to_owned()),
                Some(spared) => {
                    links.push(spared.link.clone());
                    let time: Vec<String> = (0..)
                        .zip(self.keys)
                        .filter(|(_, is_time)| **is_time)
                        .map(|(i, _): (usize, _)| format!("d{i}"))
                        .collect();
                    (
                        format!(" OR (n_everyone > n_matching AND n_everyone - n_matching < {k})"),
                        format!("merged LEFT JOIN everyone USING ({})", time.join(", ")),
                    )
                }
            };
            links.push(format!(
                "low AS (SELECT *, p_visitors > 0 AND (p_visitors < {k}{spares_few}) AS is_low FROM {from})"
            ));
            links.push(format!(
                "lowest AS (SELECT *, countIf(is_low) OVER ({apart}) AS n_low, \
                 uniqExactMergeIf(m_visitors, is_low) OVER ({apart}) AS n_low_visitors, \
                 row_number() OVER (PARTITION BY {each}is_low ORDER BY p_visitors = 0, p_visitors{keys}) AS low_rank FROM low)"
            ));
            links.push(format!(
                "shown AS (SELECT *, is_low OR (n_low > 0 AND (n_low = 1 OR n_low_visitors < {k}) AND low_rank = 1) \
                 AS is_hidden FROM lowest)"
            ));
        } else {
            links.push("shown AS (SELECT *, 0 AS is_hidden FROM merged)".into());
        }
        links.push(self.amounts(&d_keys));
        links
    }

    /// The link `priced`: of which rows the amounts are withheld.
    fn amounts(&self, d_keys: &[String]) -> String {
        if !self.has_amounts {
            return "priced AS (SELECT *, 0 AS is_withheld FROM shown)".into();
        }
        let k = self.k;
        let time: Vec<&str> = d_keys
            .iter()
            .zip(self.keys)
            .filter(|(_, is_time)| **is_time && self.keys.contains(&false))
            .map(|(key, _)| key.as_str())
            .collect();
        let (here, each) = match time.is_empty() {
            true => (String::new(), String::new()),
            false => {
                let time = time.join(", ");
                (format!("PARTITION BY {time}"), format!("{time}, "))
            }
        };
        let keys: String = d_keys.iter().map(|key| format!(", {key}")).collect();
        let few = format!("p_buyers > 0 AND p_buyers < {k}");
        format!(
            "priced AS (SELECT *, countIf({few}) OVER ({here}) > 0 AND p_buyers >= {k} AND \
             row_number() OVER (PARTITION BY {each}p_buyers >= {k} ORDER BY p_buyers{keys}) = 1 AS is_withheld FROM shown)"
        )
    }
}

/// Tells whether a filtered answer is withheld as a whole: `matched` of `everyone` visitors fit the
/// filter, and either they or the others are few, but some.
pub(super) fn is_gated(matched: u64, everyone: u64, k: u32) -> bool {
    let is_few = |n: u64| n > 0 && n < u64::from(k);
    is_few(matched) || is_few(everyone.saturating_sub(matched))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_singles_out_few_or_spares_few_is_gated() {
        for (matched, everyone, gated) in [
            (0, 0, false),
            (0, 100, false),
            (1, 100, true),
            (4, 100, true),
            (5, 100, false),
            (95, 100, false),
            (96, 100, true),
            (99, 100, true),
            (100, 100, false),
            (3, 3, true),
        ] {
            assert_eq!(
                is_gated(matched, everyone, 5),
                gated,
                "{matched} of {everyone}"
            );
        }
        assert!(!is_gated(1, 2, 1));
    }
}
