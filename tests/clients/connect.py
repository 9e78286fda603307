"""The official Python client, unchanged, against our engine: python connect.py ADDRESS:PORT KEY"""

import datetime
import decimal
import sys
import uuid

import clickhouse_connect
import pandas
from clickhouse_connect.driver.exceptions import DatabaseError

host, port = sys.argv[1].rsplit(":", 1)
key = sys.argv[2]


def client(**options):
    options = {"username": "default", "password": key, **options}
    return clickhouse_connect.get_client(host=host, port=int(port), **options)


def refused(code, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except DatabaseError as error:
        assert f"Code: {code}." in str(error) or f"code {code}" in str(error), error
    else:
        raise AssertionError(f"not refused with {code}")


def typed_insert_and_query():
    c = client(database="py")
    c.command(
        "CREATE TABLE typed (n UInt64, s String, d Date, t DateTime64(3, 'UTC'), a Array(String), m Map(String, UInt32), "
        "l LowCardinality(Nullable(String)), u UUID, x Decimal(18, 4), p Tuple(a Int8, b String), f Float64) "
        "ENGINE = MergeTree ORDER BY n"
    )
    rows = [
        (
            n, f"it's \"{n}\"\t\\\n", datetime.date(2026, 2, 28), datetime.datetime(2026, 1, 2, 3, 4, 5, 678000), ["a", "b'"],
            {"k": n}, None if n % 2 else "low", uuid.UUID(int=n), decimal.Decimal("1.2345"), (1, "é"), n / 3,
        )
        for n in range(1000)
    ]
    summary = c.insert("typed", rows)
    assert summary.written_rows == 1000, summary.summary
    got = c.query("SELECT * FROM typed ORDER BY n").result_rows
    assert len(got) == 1000
    assert got[7][1] == rows[7][1] and got[7][4] == rows[7][4] and got[7][5] == rows[7][5] and got[7][6] is None
    assert got[8][6] == "low" and got[8][7] == rows[8][7] and got[8][8] == rows[8][8]


def parameters():
    c = client()
    values = {"s": "it's\t\\ \"x\"\n", "a": ["x'y", "z"], "t": datetime.datetime(2026, 1, 2, 3, 4, 5), "n": 7, "none": None}
    row = c.query("SELECT {s:String}, {a:Array(String)}, {t:DateTime('UTC')}, {n:UInt8}, {none:Nullable(String)}", parameters=values)
    got = row.result_rows[0]
    assert got[0] == values["s"] and got[1] == values["a"] and got[3] == 7 and got[4] is None, got
    assert c.query("SELECT %(s)s", parameters=values).result_rows[0][0] == values["s"]


def compression():
    for kind in ("lz4", "zstd", "gzip", False):
        c = client(database="py", compress=kind)
        c.command("CREATE OR REPLACE TABLE packed (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
        c.insert("packed", [(n, f"row {n}") for n in range(50_000)])
        assert c.query("SELECT sum(n) FROM packed").result_rows[0][0] == 1249975000, kind
        assert len(c.query("SELECT * FROM packed").result_rows) == 50_000, kind


def streaming():
    c = client()
    n_rows = 0
    with c.query_row_block_stream("SELECT number, toString(number) FROM numbers(1000000)") as stream:
        for block in stream:
            n_rows += len(block)
    assert n_rows == 1_000_000


def frames():
    c = client(database="py")
    c.command("CREATE TABLE framed (n Int64, s String) ENGINE = MergeTree ORDER BY n")
    c.insert_df("framed", pandas.DataFrame({"n": range(1000), "s": [str(n) for n in range(1000)]}))
    frame = c.query_df("SELECT * FROM framed ORDER BY n")
    assert list(frame["n"]) == list(range(1000))


def raw():
    c = client(database="py")
    c.command("CREATE TABLE raw (n UInt64) ENGINE = MergeTree ORDER BY n")
    c.raw_insert("raw", insert_block=b"1\n2\n3\n", fmt="CSV")
    assert c.raw_query("SELECT sum(n) AS n FROM raw", fmt="JSONEachRow") == b'{"n":6}\n'


def sessions():
    c = client(session_id="python")
    c.command("CREATE TEMPORARY TABLE t (n UInt64)")
    c.insert("t", [(1,), (2,)], column_names=["n"], column_type_names=["UInt64"])
    assert c.query("SELECT sum(n) FROM t").result_rows[0][0] == 3
    refused(60, client(autogenerate_session_id=False).query, "SELECT * FROM t")


def errors():
    c = client()
    refused(62, c.query, "SELEC 1")
    refused(47, c.query, "SELECT nosuch")
    refused(60, c.query, "SELECT * FROM nosuch")
    refused(81, c.command, "DROP TABLE nosuch.t")
    refused(497, c.query, "SELECT * FROM file('/etc/passwd', LineAsString)")
    refused(164, c.command, "CREATE DATABASE no", settings={"readonly": 1})
    refused(395, c.query, "SELECT throwIf(number = 500000) FROM numbers(1000000)")
    assert c.query("SELECT 1").result_rows == [(1,)]
    try:
        client(password="wrong")
    except DatabaseError as error:
        assert "516" in str(error), error
    else:
        raise AssertionError("let in with a wrong key")


def settings():
    c = client(settings={"max_threads": 1})
    assert c.query("SELECT getSetting('max_threads')").result_rows[0][0] == 1
    assert c.query("SELECT getSetting('max_threads')", settings={"max_threads": 2}).result_rows[0][0] == 2


client().command("CREATE DATABASE py")
for test in (typed_insert_and_query, parameters, compression, streaming, frames, raw, sessions, errors, settings):
    test()
    print(f"ok {test.__name__}")
