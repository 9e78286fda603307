//! The two files the engine reads at its start, written anew each time.
//!
//! In: limits and the data directory. Out: `config.xml` and `users.xml`. Promised: what was
//! answered with success is on disk (five `merge_tree` settings, measured against power cuts), and
//! SQL is granted nothing that reaches outside. All paths are absolute: the engine resolves
//! relative ones against a directory of its own choosing.

use std::path::Path;

/// What the engine may use. The defaults suit a machine with two cores and 4 GiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all statements and caches (`max_server_memory_usage`), in bytes.
    pub memory_bytes: u64,
    /// Memory of one statement (`max_memory_usage`), in bytes.
    pub query_memory_bytes: u64,
    /// Threads of one statement (`max_threads`).
    pub query_threads: u32,
    /// Statements that run at once; further ones wait.
    pub queries: usize,
    /// Connections at once; further ones wait in the backlog.
    pub connections: usize,
    /// Seconds a statement may run (`max_execution_time`); 0 is without limit.
    pub query_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Enough for a GROUP BY over tens of millions of events (measured: 624 MB), and small
            // enough to leave the collector alone on a 4 GiB machine.
            memory_bytes: 2 << 30,
            query_memory_bytes: 1 << 30,
            query_threads: 2,
            // Each is a blocking thread and an engine connection; the collector needs a handful.
            queries: 32,
            connections: 256,
            query_seconds: 0,
        }
    }
}

/// Rights of the one user. Explicit, because the engine's default is everything: reading and
/// writing any file, opening connections, running programs.
const GRANTS: [&str; 2] = [
    "GRANT SHOW, SELECT, INSERT, ALTER UPDATE, ALTER DELETE, ALTER COLUMN, ALTER MODIFY COMMENT, \
     ALTER ORDER BY, ALTER SAMPLE BY, ALTER INDEX, ALTER PROJECTION, ALTER STATISTICS, \
     ALTER CONSTRAINT, ALTER TTL, ALTER MATERIALIZE TTL, ALTER SETTINGS, ALTER MOVE PARTITION, \
     ALTER VIEW, CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE, \
     DROP DATABASE, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE, KILL QUERY, SYSTEM FLUSH, \
     SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM CLEANUP ON *.*",
    "GRANT TABLE ENGINE ON MergeTree, TABLE ENGINE ON ReplacingMergeTree, \
     TABLE ENGINE ON SummingMergeTree, TABLE ENGINE ON AggregatingMergeTree, \
     TABLE ENGINE ON CollapsingMergeTree, TABLE ENGINE ON VersionedCollapsingMergeTree, \
     TABLE ENGINE ON CoalescingMergeTree, TABLE ENGINE ON Memory, TABLE ENGINE ON Null, \
     TABLE ENGINE ON Join, TABLE ENGINE ON Set, TABLE ENGINE ON Log, TABLE ENGINE ON TinyLog, \
     TABLE ENGINE ON StripeLog, TABLE ENGINE ON Atomic",
];

/// Returns the text of `config.xml` for data in `store`, with the users in `users`.
#[must_use]
pub fn server(limits: &Limits, store: &Path, users: &Path) -> String {
    let (store, users) = (
        escape(&store.to_string_lossy()),
        escape(&users.to_string_lossy()),
    );
    let memory = limits.memory_bytes;
    // A twentieth each: marks of a few thousand parts, and nothing that could crowd out a query.
    let cache = memory / 20;
    format!(
        "<clickhouse>
    <!-- Log lines of the engine quote statements; brine logs for it. -->
    <logger><level>none</level><console>0</console></logger>
    <path>{store}/</path>
    <tmp_path>{store}/tmp/</tmp_path>
    <user_files_path>{store}/user_files/</user_files_path>
    <users_config>{users}</users_config>
    <max_server_memory_usage>{memory}</max_server_memory_usage>
    <mark_cache_size>{cache}</mark_cache_size>
    <index_mark_cache_size>{cache}</index_mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
    <mmap_cache_size>0</mmap_cache_size>
    <query_cache><max_size_in_bytes>0</max_size_in_bytes></query_cache>
    <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
    <max_thread_pool_size>512</max_thread_pool_size>
    <background_pool_size>2</background_pool_size>
    <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
    <background_move_pool_size>1</background_move_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_schedule_pool_size>8</background_schedule_pool_size>
    <background_message_broker_schedule_pool_size>1</background_message_broker_schedule_pool_size>
    <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>
    <merge_tree>
        <!-- An insert is answered when its part and the part's directory are synced. -->
        <fsync_after_insert>1</fsync_after_insert>
        <fsync_part_directory>1</fsync_part_directory>
        <!-- A merged part is synced before its sources go: without these a power cut loses up to everything merged. -->
        <min_rows_to_fsync_after_merge>1</min_rows_to_fsync_after_merge>
        <min_compressed_bytes_to_fsync_after_merge>1</min_compressed_bytes_to_fsync_after_merge>
        <old_parts_lifetime>480</old_parts_lifetime>
        <!-- After a power cut unfinished parts are set aside; refusing to start would lose more. -->
        <max_suspicious_broken_parts>1000</max_suspicious_broken_parts>
        <!-- Parts with several future blocks must not wait in memory for a merge that needs few threads. -->
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
    <access_control_improvements>
        <table_engines_require_grant>true</table_engines_require_grant>
        <on_cluster_queries_require_cluster_grant>true</on_cluster_queries_require_cluster_grant>
    </access_control_improvements>
</clickhouse>
"
    )
}

/// Returns the text of `users.xml`: one user, without a password, since [`super::http`] asks for
/// the key.
#[must_use]
pub fn users(limits: &Limits) -> String {
    let grants: String = GRANTS
        .iter()
        .map(|grant| format!("<query>{grant}</query>"))
        .collect();
    let (memory, threads) = (limits.query_memory_bytes, limits.query_threads);
    let seconds = limits.query_seconds;
    format!(
        "<clickhouse>
    <profiles><default>
        <!-- An acknowledged row is a stored row. -->
        <async_insert>0</async_insert>
        <!-- libchdb parses `a FROM 'file'` as a SELECT by default. -->
        <implicit_select>0</implicit_select>
        <allow_introspection_functions>0</allow_introspection_functions>
        <max_memory_usage>{memory}</max_memory_usage>
        <max_threads>{threads}</max_threads>
        <max_execution_time>{seconds}</max_execution_time>
        <constraints>
            <!-- The filter of statements reads SQL and nothing else. -->
            <dialect><const/></dialect>
            <implicit_select><const/></implicit_select>
            <allow_introspection_functions><const/></allow_introspection_functions>
        </constraints>
    </default></profiles>
    <quotas><default/></quotas>
    <users><default>
        <password></password>
        <networks><ip>::/0</ip></networks>
        <profile>default</profile>
        <quota>default</quota>
        <grants>{grants}</grants>
    </default></users>
</clickhouse>
"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_with_markup_stays_a_path() {
        let text = server(&Limits::default(), Path::new("/a&b<c"), Path::new("/u"));
        assert!(text.contains("<path>/a&amp;b&lt;c/</path>"), "{text}");
    }
}
