import { type Files, placed } from "./files.ts"
import { pascal } from "./names.ts"

/** A task that posts the data of each event of a type to an address outside. */
export interface NewTask {
  readonly module: string
  /** `announce` */
  readonly name: string
  /** `parcel_created` */
  readonly type: string
  /** The module that publishes it. */
  readonly publisher: string
  /** `0002_create_announce_calls` */
  readonly migration: string
}

export const callsName = (name: string) => `${pascal(name)}Calls`

/** The setting that has the address. */
export const urlSetting = ({ module, name }: Pick<NewTask, "module" | "name">) => `${module}_${name}_url`.toUpperCase()

/** The entry in `settings.ts`. */
export const settingEntry = (task: NewTask) => {
  const setting = urlSetting(task)
  return `  /** Where \`${task.module}.${task.name}\` posts; unset: nothing is posted. */
  ${setting}: Config.option(
    Config.schema(
      Schema.String.check(
        Schema.makeFilter(
          (text: string) => /^https?:$/u.test(URL.parse(text)?.protocol ?? "") || "expected a URL such as https://host.example/path",
        ),
      ),
      "${setting}",
    ),
  ),
`
}

/** The entry in `tasks.ts`. */
export const taskEntry = ({ name }: NewTask) => {
  const calls = callsName(name)
  return `  task({
    name: ${name},
    begin: (items) => ${calls}.use((calls) => calls.begin(items)),
    call: (call: ${pascal(name)}Call) => ${calls}.use((calls) => calls.call(call)),
    end: (results) => ${calls}.use((calls) => calls.end(results)),
  }),
`
}

/** The entry in `reactions.ts`. */
export const requestEntry = ({ module, name, type }: NewTask) => `  all({
    name: "${module}.${name}-${type.replaceAll("_", "-")}",
    event: ${pascal(type)},
    handle: (events) => ${callsName(name)}.use((calls) => calls.request(events)),
  }),
`

/** The use case with its table, the migration and a test. */
export const taskFiles = (task: NewTask): Files => {
  const { module, migration } = task
  const folder = `modules/${module}`
  return placed({
    [`${folder}/migrations/${migration}.ts`]: migrationOf(task),
    [`${folder}/${callsName(task.name)}.ts`]: callsOf(task),
    [`${folder}/${callsName(task.name)}.test.ts`]: testOf(task),
  })
}

const migrationOf = ({ name }: NewTask) => `import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const create${callsName(name)} = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql\`create table ${name}_calls (
    id bigint generated always as identity primary key,
    event_source text collate "C" not null,
    event_id text collate "C" not null,
    data jsonb not null,
    done_at timestamptz,
    unique (event_source, event_id)
  )\`
})
`

const callsOf = (task: NewTask) => {
  const { module, name, type } = task
  const [calls, call, setting] = [callsName(name), `${pascal(name)}Call`, urlSetting(task)]
  return `import { Clock, Context, Effect, Layer, Option } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { SqlClient } from "effect/sql"
import type { Event } from "~/runtime/events/Event.ts"
import { again, done, type Ended, type Item } from "~/runtime/module/Task.ts"
import { Tasks } from "~/runtime/module/Tasks.ts"
import { settings } from "./settings.ts"

/** The name of the task; it must never change. */
export const ${name} = "${module}.${name}"

export interface ${call} {
  /** The same for each repetition: the other side must post once for each key. */
  readonly key: string
  readonly data: unknown
}

interface Row {
  readonly id: bigint
  readonly event_source: string
  readonly event_id: string
  readonly data: unknown
}

/** Posts the data of each \`${type}\` to \`${setting}\`. */
export class ${calls} extends Context.Service<${calls}>()("${module}/${calls}", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tasks = yield* Tasks
    const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
    const url = Option.getOrUndefined(yield* Effect.orDie(settings.${setting}))

    /** Requests a call for each event, in the running transaction; none while there is no address. */
    const request = Effect.fn("${calls}.request")(function* (events: ReadonlyArray<Event>) {
      if (url === undefined) return
      const rows = events.map(({ source, id, received }) => ({ source, id, data: received }))
      const added = yield* Effect.orDie(sql<{ readonly id: bigint }>\`
        insert into ${name}_calls (event_source, event_id, data)
        select source, id, data from json_to_recordset(\${JSON.stringify(rows)}::json)
          as row (source text, id text, data jsonb)
        on conflict (event_source, event_id) do nothing returning id\`)
      if (added.length === 0) return
      yield* tasks.add(
        ${name},
        added.map(({ id }) => ({ id: String(id) })),
      )
    })

    /** A call whose result is unknown is repeated: it is idempotent by its key. */
    const begin = (items: ReadonlyArray<Item>) =>
      Effect.map(
        Effect.orDie(sql<Row>\`
          select id, event_source, event_id, data from ${name}_calls
          where done_at is null and id in (
            select value::bigint from json_array_elements_text(\${JSON.stringify(items.map(({ id }) => id))}::json))
          order by id for update\`),
        (rows) => {
          const wanted = new Map(
            rows.map(({ id, event_source, event_id, data }): [string, ${call}] => [
              String(id),
              { key: encodeURIComponent(\`\${event_source}/\${event_id}\`), data },
            ]),
          )
          return items.map(({ id }) => wanted.get(id))
        },
      )

    const call = ({ key, data }: ${call}) =>
      HttpClientRequest.post(url ?? "").pipe(
        HttpClientRequest.setHeader("idempotency-key", key),
        HttpClientRequest.bodyJsonUnsafe(data),
        client.execute,
        Effect.flatMap(({ text }) => text),
        Effect.asVoid,
      )

    const end = Effect.fn("${calls}.end")(function* (results: ReadonlyArray<Ended<${call}, void>>) {
      const answered = results.filter(({ result }) => result._tag === "Answered").map(({ id }) => id)
      const now = new Date(yield* Clock.currentTimeMillis)
      yield* Effect.orDie(sql\`
        update ${name}_calls set done_at = \${now} where id in (
          select value::bigint from json_array_elements_text(\${JSON.stringify(answered)}::json))\`)
      return results.map(({ result }) => (result._tag === "Answered" ? done : again))
    })

    return { request, begin, call, end }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make).pipe(Layer.provide(FetchHttpClient.layer))
}
`
}

const testOf = (task: NewTask) => {
  const { module, name, type, publisher } = task
  const event = pascal(type)
  return `import { afterAll, expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { json } from "node:stream/consumers"
import { samplesOf } from "~/runtime/contract/samples.ts"
import { schemaOf } from "~/runtime/contract/eventSchema.ts"
import { eventually, Scenario, scenario } from "~/runtime/test/harness/scenario.ts"
import { ${event} } from "~/modules/${publisher}/contract/events.ts"
import { ${module} } from "./module.ts"

const data: any = samplesOf(schemaOf(${event}))[0].data

/** What was posted; the first post is answered by an error. */
const posted: Array<{ readonly key: unknown; readonly body: unknown }> = []
const server = createServer((request, response) => {
  void json(request).then((body) => {
    posted.push({ key: request.headers["idempotency-key"], body })
    response.writeHead(posted.length === 1 ? 500 : 204).end()
  })
})
await once(server.listen(0, "127.0.0.1"), "listening")
afterAll(() => server.close())
const url = \`http://127.0.0.1:\${(server.address() as AddressInfo).port}\`

layer(scenario([${module}], { ${urlSetting(task)}: url }), { excludeTestServices: true })("the task ${module}.${name}", (it) => {
  it.effect("posts the data of ${type}, with the same key until there is an answer", () =>
    Effect.gen(function* () {
      const { publish, settled, held, database } = yield* Scenario
      yield* publish(${event}, data)
      yield* settled
      expect(yield* held("${module}")).toEqual([])
      const open = Effect.orDie(database("${module}")\`select id from ${name}_calls where done_at is null\`)
      yield* eventually(Effect.map(open, (rows) => expect(rows).toEqual([])))
      expect(posted.map(({ body }) => body)).toEqual([data, data])
      expect(posted[0]!.key).toBe(posted[1]!.key)
    }),
  )
})
`
}
