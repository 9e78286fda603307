//! The spool as a whole, on a real directory.

mod support;

use self::support::{Bench, payload};
use super::*;

#[tokio::test]
async fn acknowledged_records_come_back_in_order_after_reopening() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let mut positions = Vec::new();
    for n in 0..10 {
        positions.push(
            spool
                .append(RecordKind(1), &payload(n), || true)
                .await
                .unwrap(),
        );
    }
    drop(spool);
    let (spool, recovery) = bench.reopen();
    assert_eq!(recovery.records, 10);
    assert_eq!(
        bench.drain(&spool).await,
        (0..10).map(payload).collect::<Vec<_>>()
    );
    assert!(positions.is_sorted());
}
