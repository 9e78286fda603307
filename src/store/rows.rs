//! Rows as ClickHouse takes them. Field names are column names; the client checks both against the table.

use std::time::Duration;

use clickhouse::insert::Insert;
use clickhouse::{Client, Row};
use serde::Serialize;

use super::{BatchId, StoreError};
use crate::event::{
    AccessRecord, ConsentRecord, DenialRecord, Event, PurgeRecord, RequestRecord,
    RestrictionRecord, RunRecord, SaltStep,
};

/// A table that batches go to. The order is part of how groups of a segment are numbered: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Table {
    Events,
    Consents,
    Denials,
    SaltEvents,
    Requests,
    Restrictions,
    AccessLog,
    Purges,
    RetentionRuns,
}

impl Table {
    /// Returns the name in `schema/`.
    pub fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Consents => "consents",
            Table::Denials => "denials",
            Table::SaltEvents => "salt_events",
            Table::Requests => "requests",
            Table::Restrictions => "restrictions",
            Table::AccessLog => "access_log",
            Table::Purges => "purges",
            Table::RetentionRuns => "retention_runs",
        }
    }
}

#[derive(Row, Serialize)]
struct EventRow<'a> {
    site: &'a str,
    day: u16,
    ts: i64,
    name: &'a str,
    visitor: u64,
    visit: u64,
    device_id: u64,
    interactive: bool,
    hostname: &'a str,
    path: &'a str,
    referrer: &'a str,
    source: &'a str,
    channel: &'a str,
    utm_source: &'a str,
    utm_medium: &'a str,
    utm_campaign: &'a str,
    utm_content: &'a str,
    utm_term: &'a str,
    country: &'a str,
    region: &'a str,
    city: &'a str,
    browser: &'a str,
    browser_version: &'a str,
    os: &'a str,
    os_version: &'a str,
    device: &'a str,
    language: &'a str,
    screen: &'a str,
    platform: &'a str,
    app_version: &'a str,
    days_since_last: &'a str,
    props: &'a [(&'a str, &'a str)],
    revenue: f64,
    currency: &'a str,
    engagement_ms: u32,
    scroll_depth: u8,
    lcp_ms: Option<f32>,
    inp_ms: Option<f32>,
    cls: Option<f32>,
    ttfb_ms: Option<f32>,
    fcp_ms: Option<f32>,
    expires: u16,
    batch_id: u128,
    seq: u32,
}

#[derive(Row, Serialize)]
struct ConsentRow<'a> {
    scope: &'a str,
    site: &'a str,
    ts: i64,
    choice: &'a str,
    policy_version: u16,
    purposes: &'a [String],
    source: &'a str,
    ledger: u128,
    last_day: u16,
    expires: u16,
    batch_id: u128,
    seq: u32,
}

#[derive(Row, Serialize)]
struct DenialRow<'a> {
    site: &'a str,
    day: u16,
    denials: u32,
    batch_id: u128,
    seq: u32,
}

#[derive(Row, Serialize)]
struct SaltRow<'a> {
    site: &'a str,
    period: u16,
    ts: i64,
    step: &'a str,
    reason: &'a str,
    how: &'a str,
    batch_id: u128,
    seq: u32,
}

#[derive(Row, Serialize)]
struct RequestRow<'a> {
    request: u64,
    site: &'a str,
    ts: i64,
    step: &'a str,
    action: &'a str,
    channel: &'a str,
    periods: u32,
    affected: u64,
    verified: &'a str,
    expires: u16,
    batch_id: u128,
    seq: u32,
}

#[derive(Row, Serialize)]
struct RestrictionRow<'a> {
    site: &'a str,
    day: u16,
    visitor: u64,
    is_restricted: bool,
    ts: i64,
    expires: u16,
    batch_id: u128,
    seq: u32,
}

#[derive(Row, Serialize)]
struct AccessRow<'a> {
    ts: i64,
    who: &'a str,
    via: &'a str,
    action: &'a str,
    site: &'a str,
    detail: &'a str,
    expires: u16,
    batch_id: u128,
    seq: u32,
}

#[derive(Row, Serialize)]
struct PurgeRow<'a> {
    purge: u64,
    run: u64,
    site: &'a str,
    table_name: &'a str,
    rule: &'a str,
    ts: i64,
    first_day: u16,
    last_day: u16,
    n_rows: u64,
    n_bytes: u64,
    verified: &'a str,
    version: &'a str,
    batch_id: u128,
    seq: u32,
}

#[derive(Row, Serialize)]
struct RunRow<'a> {
    run: u64,
    collector: &'a str,
    started_by: &'a str,
    ts: i64,
    ended: i64,
    n_purges: u32,
    n_rows: u64,
    n_bytes: u64,
    n_days: u32,
    findings: &'a [String],
    held: &'a [String],
    version: &'a str,
    batch_id: u128,
    seq: u32,
}

enum Open {
    Events(Insert<EventRow<'static>>),
    Consents(Insert<ConsentRow<'static>>),
    Denials(Insert<DenialRow<'static>>),
    Salts(Insert<SaltRow<'static>>),
    Requests(Insert<RequestRow<'static>>),
    Restrictions(Insert<RestrictionRow<'static>>),
    Access(Insert<AccessRow<'static>>),
    Purges(Insert<PurgeRow<'static>>),
    Runs(Insert<RunRow<'static>>),
}

/// One insert under way. Dropping it before [`Writer::end`] leaves no row: the body ends without its end.
pub struct Writer {
    open: Open,
    batch: BatchId,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) async fn begin(
        client: &Client,
        table: Table,
        batch: BatchId,
        settings: &[(&str, String)],
        query_id: &str,
        timeout: Option<Duration>,
    ) -> Result<Writer, StoreError> {
        macro_rules! insert {
            ($row:ident, $variant:ident) => {{
                let mut insert = client
                    .insert::<$row<'static>>(table.name())
                    .await
                    .map_err(StoreError::from_client)?;
                insert = insert
                    .with_timeouts(timeout, timeout)
                    .with_setting("query_id", query_id);
                for (name, value) in settings {
                    insert = insert.with_setting(*name, value.clone());
                }
                Open::$variant(insert)
            }};
        }
        let open = match table {
            Table::Events => insert!(EventRow, Events),
            Table::Consents => insert!(ConsentRow, Consents),
            Table::Denials => insert!(DenialRow, Denials),
            Table::SaltEvents => insert!(SaltRow, Salts),
            Table::Requests => insert!(RequestRow, Requests),
            Table::Restrictions => insert!(RestrictionRow, Restrictions),
            Table::AccessLog => insert!(AccessRow, Access),
            Table::Purges => insert!(PurgeRow, Purges),
            Table::RetentionRuns => insert!(RunRow, Runs),
        };
        Ok(Writer { open, batch })
    }

    /// Writes an event.
    ///
    /// # Errors
    /// What the connection said.
    pub async fn event(&mut self, event: &Event<&str>, seq: u32) -> Result<(), StoreError> {
        let Open::Events(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = EventRow {
            site: event.site,
            day: event.day,
            ts: event.ts_ms,
            name: event.name,
            visitor: event.visitor,
            visit: event.visit,
            device_id: event.device_id,
            interactive: event.is_interactive,
            hostname: event.hostname,
            path: event.path,
            referrer: event.referrer,
            source: event.source,
            channel: event.channel,
            utm_source: event.utm_source,
            utm_medium: event.utm_medium,
            utm_campaign: event.utm_campaign,
            utm_content: event.utm_content,
            utm_term: event.utm_term,
            country: event.country,
            region: event.region,
            city: event.city,
            browser: event.browser,
            browser_version: event.browser_version,
            os: event.os,
            os_version: event.os_version,
            device: event.device,
            language: event.language,
            screen: event.screen,
            platform: event.platform,
            app_version: event.app_version,
            days_since_last: event.days_since_last,
            props: &event.props,
            revenue: event.revenue,
            currency: event.currency,
            engagement_ms: event.engagement_ms,
            scroll_depth: event.scroll_depth,
            lcp_ms: event.lcp_ms,
            inp_ms: event.inp_ms,
            cls: event.cls,
            ttfb_ms: event.ttfb_ms,
            fcp_ms: event.fcp_ms,
            expires: event.expires,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Writes a row of the ledger.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub async fn consent(&mut self, record: &ConsentRecord, seq: u32) -> Result<(), StoreError> {
        let Open::Consents(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = ConsentRow {
            scope: &record.scope,
            site: &record.site,
            ts: record.ts_ms,
            choice: record.choice.name(),
            policy_version: record.policy_version,
            purposes: &record.purposes,
            source: &record.source,
            ledger: record.ledger,
            last_day: record.last_day,
            expires: record.expires,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Writes how many denials a batch has for one site and day.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub async fn denials(
        &mut self,
        key: &DenialRecord,
        denials: u32,
        seq: u32,
    ) -> Result<(), StoreError> {
        let Open::Denials(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = DenialRow {
            site: &key.site,
            day: key.day,
            denials,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Writes a step of a salt's life.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub async fn salt(&mut self, record: &SaltStep, seq: u32) -> Result<(), StoreError> {
        let Open::Salts(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = SaltRow {
            site: &record.site,
            period: record.period,
            ts: record.ts_ms,
            step: &record.step,
            reason: &record.reason,
            how: &record.how,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Writes a step of a visitor's request.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub async fn request(&mut self, record: &RequestRecord, seq: u32) -> Result<(), StoreError> {
        let Open::Requests(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = RequestRow {
            request: record.request,
            site: &record.site,
            ts: record.ts_ms,
            step: &record.step,
            action: &record.action,
            channel: &record.channel,
            periods: record.periods,
            affected: record.affected,
            verified: &record.verified,
            expires: record.expires,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Writes that a pseudonym's events are not to be counted, or are to be counted again.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub async fn restriction(
        &mut self,
        record: &RestrictionRecord,
        seq: u32,
    ) -> Result<(), StoreError> {
        let Open::Restrictions(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = RestrictionRow {
            site: &record.site,
            day: record.day,
            visitor: record.visitor,
            is_restricted: record.is_restricted,
            ts: record.ts_ms,
            expires: record.expires,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Writes that somebody looked.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub async fn access(&mut self, record: &AccessRecord, seq: u32) -> Result<(), StoreError> {
        let Open::Access(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = AccessRow {
            ts: record.ts_ms,
            who: &record.who,
            via: &record.via,
            action: &record.action,
            site: &record.site,
            detail: &record.detail,
            expires: record.expires,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Writes what was purged.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub async fn purge(&mut self, record: &PurgeRecord, seq: u32) -> Result<(), StoreError> {
        let Open::Purges(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = PurgeRow {
            purge: record.purge,
            run: record.run,
            site: &record.site,
            table_name: &record.table,
            rule: &record.rule,
            ts: record.ts_ms,
            first_day: record.first_day,
            last_day: record.last_day,
            n_rows: record.rows,
            n_bytes: record.bytes,
            verified: &record.verified,
            version: &record.version,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Writes that the retention job ran.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub async fn run(&mut self, record: &RunRecord, seq: u32) -> Result<(), StoreError> {
        let Open::Runs(insert) = &mut self.open else {
            return Err(wrong_table());
        };
        let row = RunRow {
            run: record.run,
            collector: &record.collector,
            started_by: &record.started_by,
            ts: record.ts_ms,
            ended: record.ended_ms,
            n_purges: record.purges,
            n_rows: record.rows,
            n_bytes: record.bytes,
            n_days: record.days,
            findings: &record.findings,
            held: &record.held,
            version: &record.version,
            batch_id: self.batch.0,
            seq,
        };
        insert.write(&row).await.map_err(StoreError::from_client)
    }

    /// Ends the body and waits for the answer: `Ok` means written, an error means uncertain unless
    /// [`StoreError::is_clear_refusal`].
    ///
    /// # Errors
    /// What ClickHouse or the connection said.
    pub async fn end(self) -> Result<(), StoreError> {
        match self.open {
            Open::Events(insert) => insert.end().await,
            Open::Consents(insert) => insert.end().await,
            Open::Denials(insert) => insert.end().await,
            Open::Salts(insert) => insert.end().await,
            Open::Requests(insert) => insert.end().await,
            Open::Restrictions(insert) => insert.end().await,
            Open::Access(insert) => insert.end().await,
            Open::Purges(insert) => insert.end().await,
            Open::Runs(insert) => insert.end().await,
        }
        .map_err(StoreError::from_client)
    }
}

fn wrong_table() -> StoreError {
    StoreError::ClickHouse {
        class: super::Class::Data,
        code: None,
        message: "record and table do not fit".into(),
    }
}
