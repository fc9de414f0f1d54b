import type { SqlClient } from "effect/sql"
import type { Partition, Position, Received, Span } from "../EventBus.ts"

/** A stored record. */
export interface LogRow {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly key: string | null
  readonly value: Uint8Array | null
  readonly headers: Record<string, string>
  readonly time: Date
}

export const receivedOf = (row: LogRow): Received => ({ ...row, offset: Number(row.offset), time: row.time.getTime() })

/** A record to append. Its value is base64, because rows are passed as JSON. */
interface NewRow {
  readonly n: number
  readonly topic: string
  readonly part: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: Readonly<Record<string, string>>
}

interface NewTopic {
  readonly name: string
  readonly partitions: number
  readonly retention_ms: number | null
}

/** The statements of the embedded log, over its tables (`createLog.ts`). */
export const logTable = (sql: SqlClient.SqlClient) => ({
  ...topicStatements(sql),
  ...recordStatements(sql),
  ...positionStatements(sql),
  prune: pruneStatement(sql),
})

export type LogTable = ReturnType<typeof logTable>

/** Topics, their partitions, and the log itself. */
const topicStatements = (sql: SqlClient.SqlClient) => ({
  topics: sql<{ name: string; count: number }>`select name, partitions as count from topic`,

  makeTopics: (topics: ReadonlyArray<NewTopic>) => sql`
    with made as (
      insert into topic (name, partitions, retention_ms)
      select name, partitions, retention_ms from json_to_recordset(${JSON.stringify(topics)}::json)
        as x (name text, partitions int, retention_ms bigint) order by name
      on conflict (name) do update set retention_ms = excluded.retention_ms
      returning name, partitions)
    insert into partition (topic, part) select name, generate_series(0, partitions - 1) from made
    on conflict do nothing`,

  ends: (topics: ReadonlyArray<string>) => sql<{ topic: string; partition: number; first: bigint; next: bigint }>`
    select e.topic, e.part as partition, e.first, e.next
    from partition e where e.topic in (select json_array_elements_text(${JSON.stringify(topics)}::json))
    order by e.topic, e.part`,

  retentions: (topics: ReadonlyArray<string>) => sql<{ topic: string; millis: bigint | null }>`
    select name as topic, retention_ms as millis from topic
    where name in (select json_array_elements_text(${JSON.stringify(topics)}::json)) order by name`,

  identity: sql<{ id: string }>`select id from identity`,
})

/** Records. */
const recordStatements = (sql: SqlClient.SqlClient) => ({
  append: (rows: ReadonlyArray<NewRow>, now: Date) => sql`
    with input as materialized (
      select * from json_to_recordset(${JSON.stringify(rows)}::json)
        as x (n int, topic text, part int, key text, value text, headers json)),
    moved as (
      update partition p set next = p.next + c.records
      from (select topic, part, count(*) as records from input group by topic, part) c
      where p.topic = c.topic and p.part = c.part
      returning p.topic, p.part, p.next - c.records as first)
    insert into record (topic, part, "offset", key, value, headers, time)
    select i.topic, i.part, m.first + row_number() over (partition by i.topic, i.part order by i.n) - 1,
      i.key, decode(i.value, 'base64'), i.headers, ${now}
    from input i join moved m on m.topic = i.topic and m.part = i.part`,

  /** Records from these positions on. Each partition that has some gets the same share, so that none waits for another. */
  read: (positions: ReadonlyArray<Position>, limit: number) => sql<LogRow>`
    with due as materialized (
      select m.topic, m.partition as part, greatest(m.next, e.first) as next
      from json_to_recordset(${JSON.stringify(positions)}::json) as m (topic text, partition int, next bigint)
      join partition e on e.topic = m.topic and e.part = m.partition and e.next > m.next)
    select r.topic, r.part as partition, r."offset", r.key, r.value, r.headers, r.time
    from due cross join lateral (
      select * from record r where r.topic = due.topic and r.part = due.part and r."offset" >= due.next
      order by r."offset" limit greatest(1, ${limit} / (select count(*) from due))) r
    order by r.topic, r.part, r."offset"`,

  since: (topic: string, time: Date) => sql<{ topic: string; partition: number; next: bigint }>`
    select e.topic, e.part as partition, coalesce(
      (select min(r."offset") from record r
        where r.topic = e.topic and r.part = e.part and r."offset" >= e.first and r.time >= ${time}),
      e.next) as next
    from partition e where e.topic = ${topic} order by e.part`,

  /** The first offset of a partition with this time or a later one, found by halving: times increase with offsets. */
  seek: ({ topic, partition }: Partition, time: Date) => sql<{ next: bigint }>`
    with recursive halved (low, high) as (
      select first, next from partition where topic = ${topic} and part = ${partition}
      union all
      select case when r.time < ${time} then r."offset" + 1 else low end,
        case when r.time < ${time} then high else r."offset" end
      from halved join record r on r.topic = ${topic} and r.part = ${partition} and r."offset" = (low + high) / 2
      where low < high)
    select low as next from halved where low = high`,
})

/** Positions of groups. */
const positionStatements = (sql: SqlClient.SqlClient) => ({
  /** The committed positions of a group; one that is new in a partition begins at its oldest record. */
  begin: (group: string, partitions: ReadonlyArray<Partition>) => sql<{
    topic: string
    partition: number
    next: bigint
  }>`
    with made as (
      insert into position (grp, topic, part, next)
      select ${group}, e.topic, e.part, e.first
      from json_to_recordset(${JSON.stringify(partitions)}::json) as m (topic text, partition int)
      join partition e on e.topic = m.topic and e.part = m.partition
      on conflict do nothing returning topic, part, next)
    select topic, part as partition, next from made
    union all
    select p.topic, p.part, p.next from json_to_recordset(${JSON.stringify(partitions)}::json) as m (topic text, partition int)
    join position p on p.grp = ${group} and p.topic = m.topic and p.part = m.partition`,

  commit: (group: string, spans: ReadonlyArray<Pick<Span, "topic" | "partition" | "next">>) => sql`
    insert into position (grp, topic, part, next)
    select ${group}, topic, partition, next from json_to_recordset(${JSON.stringify(spans)}::json)
      as x (topic text, partition int, next bigint) order by topic, partition
    on conflict (grp, topic, part) do update set next = excluded.next`,

  lag: (group: string) => sql<{ topic: string; partition: number; records: bigint }>`
    select p.topic, p.part as partition, e.next - p.next as records
    from position p join partition e on e.topic = p.topic and e.part = p.part
    where p.grp = ${group} order by p.topic, p.part`,
})

/**
 * Removes at most `limit` records of one partition: from its beginning to the first record whose retention has not passed,
 * or that a known group has not read. Returns a row when there may be more.
 */
const pruneStatement = (sql: SqlClient.SqlClient) => (now: Date, limit: number) =>
  sql`
  with old as materialized (
    select e.topic, e.part, e.first, least(e.next, (
        select min(p.next) from position p where p.topic = e.topic and p.part = e.part)) as unread,
      ${now}::timestamptz - t.retention_ms * interval '1 millisecond' as before
    from partition e join topic t on t.name = e.topic
    where t.retention_ms is not null),
  due as materialized (
    select * from old
    where (
      select r.time < old.before from record r
      where r.topic = old.topic and r.part = old.part and r."offset" >= old.first and r."offset" < old.unread
      order by r."offset" limit 1)
    limit 1),
  cut as materialized (
    select due.topic, due.part, due.first as since,
      coalesce(min(r."offset") filter (where r.time >= due.before), max(r."offset") + 1) as first
    from due cross join lateral (
      select r."offset", r.time from record r
      where r.topic = due.topic and r.part = due.part and r."offset" >= due.first and r."offset" < due.unread
      order by r."offset" limit ${limit}) r
    group by due.topic, due.part, due.first),
  gone as (
    delete from record r using cut c
    where r.topic = c.topic and r.part = c.part and r."offset" >= c.since and r."offset" < c.first)
  update partition e set first = c.first from cut c where e.topic = c.topic and e.part = c.part
  returning 1`
