// The official JavaScript client, unchanged, against our engine: node client.mjs ADDRESS:PORT KEY

import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { createClient } from '@clickhouse/client'

const [address, key] = process.argv.slice(2)
const connect = (options = {}) =>
  createClient({ url: `http://${address}`, username: 'default', password: key, ...options })
const all = async (result) => (await result).json()

const tests = {
  async ping() {
    const answer = await connect().ping()
    assert.equal(answer.success, true)
  },

  async insertOfValues() {
    const client = connect({ database: 'js' })
    await client.command({ query: 'CREATE TABLE v (n UInt64, s String, a Array(String)) ENGINE = MergeTree ORDER BY n' })
    const values = Array.from({ length: 1000 }, (_, n) => ({ n: String(n), s: `it's "${n}"\t\\\n`, a: ['x', "y'"] }))
    const { summary } = await client.insert({ table: 'v', values, format: 'JSONEachRow' })
    assert.equal(summary.written_rows, '1000')
    const rows = await all(client.query({ query: 'SELECT * FROM v ORDER BY n', format: 'JSONEachRow', clickhouse_settings: { output_format_json_quote_64bit_integers: 1 } }))
    assert.deepEqual(rows, values)
  },

  async insertOfAStream() {
    for (const request of [false, true]) {
      const client = connect({ database: 'js', compression: { request, response: true } })
      await client.command({ query: 'CREATE OR REPLACE TABLE st (n UInt64) ENGINE = MergeTree ORDER BY n' })
      const values = Readable.from((function* () { for (let n = 0; n < 20000; n++) yield [n] })(), { objectMode: true })
      await client.insert({ table: 'st', values, format: 'JSONCompactEachRow' })
      const [row] = await all(client.query({ query: 'SELECT count() AS c, sum(n) AS s FROM st', format: 'JSONEachRow' }))
      assert.deepEqual([Number(row.c), Number(row.s)], [20000, 199990000])
    }
  },

  async abortedInsertCommitsNothing() {
    const client = connect({ database: 'js' })
    await client.command({ query: 'CREATE TABLE ab (n UInt64) ENGINE = MergeTree ORDER BY n' })
    const values = new Readable({ objectMode: true, read() {} })
    for (let n = 0; n < 1000; n++) values.push([n])
    const abort = new AbortController()
    const insert = client.insert({ table: 'ab', values, format: 'JSONCompactEachRow', abort_signal: abort.signal })
    setTimeout(() => abort.abort(), 200)
    await assert.rejects(insert)
    const [row] = await all(client.query({ query: 'SELECT count() AS c FROM ab', format: 'JSONEachRow' }))
    assert.equal(Number(row.c), 0)
  },

  async parameters() {
    const query_params = { s: `it's\t\\ "x"\n`, a: ["x'y", 'z'], n: 7, d: new Date(Date.UTC(2026, 0, 2, 3, 4, 5)) }
    const query = 'SELECT {s:String} AS s, {a:Array(String)} AS a, {n:UInt8} AS n, {d:DateTime(\'UTC\')} AS d'
    const [row] = await all(connect().query({ query, query_params, format: 'JSONEachRow' }))
    assert.deepEqual(row, { s: query_params.s, a: query_params.a, n: 7, d: '2026-01-02 03:04:05' })
  },

  async streamedSelect() {
    const client = connect({ compression: { response: true } })
    const result = await client.query({ query: 'SELECT number FROM numbers(300000)', format: 'JSONCompactEachRow' })
    let n = 0
    for await (const rows of result.stream()) n += rows.length
    assert.equal(n, 300000)
  },

  async document() {
    const answer = await all(connect().query({ query: 'SELECT number AS n FROM numbers(10)', format: 'JSON' }))
    assert.equal(answer.rows, 10)
  },

  async execAndQueryId() {
    const { stream, query_id } = await connect().exec({ query: 'SELECT 42 FORMAT CSV', query_id: 'from-js' })
    assert.equal(query_id, 'from-js')
    let text = ''
    for await (const chunk of stream) text += chunk
    assert.equal(text, '42\n')
  },

  async session() {
    const client = connect({ session_id: 'js', max_open_connections: 1 })
    await client.command({ query: 'CREATE TEMPORARY TABLE t (n UInt64)' })
    await client.insert({ table: 't', values: [[1], [2]], format: 'JSONCompactEachRow' })
    const [row] = await all(client.query({ query: 'SELECT toUInt32(sum(n)) AS s FROM t', format: 'JSONEachRow' }))
    assert.equal(row.s, 3)
  },

  async abortedSelectIsCancelled() {
    const abort = new AbortController()
    const query = 'SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1'
    const slow = connect().query({ query, format: 'JSON', abort_signal: abort.signal })
    setTimeout(() => abort.abort(), 300)
    await assert.rejects(slow)
    for (let tries = 0; ; tries++) {
      const [row] = await all(connect().query({ query: "SELECT count() AS c FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'", format: 'JSONEachRow' }))
      if (Number(row.c) === 0) break
      assert.ok(tries < 500, 'the statement was not cancelled')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  },

  async errors() {
    const client = connect()
    const refused = (code, query, settings = {}) =>
      assert.rejects(client.command({ query, clickhouse_settings: settings }), (error) => error.code === code || assert.fail(`${query}: ${error.code} ${error}`))
    await refused('62', 'SELEC 1')
    await refused('47', 'SELECT nosuch')
    await refused('497', "SELECT * FROM file('/etc/passwd', LineAsString)")
    await refused('164', 'CREATE DATABASE no', { readonly: '1' })
    await refused('115', 'SELECT 1', { nosuch: 1 })
    await assert.rejects(connect({ password: 'wrong' }).query({ query: 'SELECT 1' }), (error) => error.code === '516')
  },

  async errorHalfWay() {
    for (const response of [false, true]) {
      const client = connect({ compression: { response } })
      const query = 'SELECT throwIf(number = 200000) FROM numbers(300000)'
      const result = await client.query({ query, format: 'JSONCompactEachRow', clickhouse_settings: { max_block_size: '1000' } })
      await assert.rejects(async () => { for await (const _ of result.stream()); }, (error) => /395|FUNCTION_THROW_IF/.test(`${error.code} ${error}`) || assert.fail(`${error}`))
    }
  },
}

await connect().command({ query: 'CREATE DATABASE js' })
for (const [name, test] of Object.entries(tests)) {
  await test()
  console.log(`ok ${name}`)
}
process.exit(0)
