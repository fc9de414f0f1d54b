import { type Files, placed } from "./files.ts"
import { pascal } from "./names.ts"

/** A reaction that keeps the last event of each subject in a table of its module. */
export interface NewReaction {
  readonly module: string
  /** `user_created` */
  readonly type: string
  /** The module that publishes it. */
  readonly publisher: string
  readonly subject: string
  /** `0002_create_user_created` */
  readonly migration: string
}

export const storeName = (type: string) => `${pascal(type)}Store`

export const tableOf = (type: string) => `last_${type}`

const contractOf = ({ module, publisher }: NewReaction) =>
  module === publisher ? `~/modules/${module}/contract/events.ts` : `~/modules/${publisher}/contract/events.ts`

/** The entry in `reactions.ts`. */
export const reactionEntry = ({ module, type }: NewReaction) => {
  const store = storeName(type)
  return `  all({
    name: "${module}.keep-${type.replaceAll("_", "-")}",
    event: ${pascal(type)},
    handle: (events) => ${store}.use((store) => store.keep(events)),
    reset: ${store}.use((store) => store.forgetSome),
  }),
`
}

/** The names that `reactions.ts` imports for it. */
export const reactionImports = (reaction: NewReaction): ReadonlyArray<readonly [file: string, name: string]> => [
  ["~/runtime/module/Reaction.ts", "all"],
  [contractOf(reaction), pascal(reaction.type)],
  [`~/modules/${reaction.module}/${storeName(reaction.type)}.ts`, storeName(reaction.type)],
]

/** The store, its migration and a test. */
export const reactionFiles = (reaction: NewReaction): Files => {
  const { module, type, subject, migration } = reaction
  const [store, event, table] = [storeName(type), pascal(type), tableOf(type)]
  const folder = `modules/${module}`
  return placed({
    [`${folder}/migrations/${migration}.ts`]: `import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const create${store} = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql\`create table ${table} (
    subject text collate "C" primary key,
    data jsonb not null,
    at timestamptz not null
  )\`
})
`,
    [`${folder}/${store}.ts`]: `import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { Event } from "~/runtime/events/Event.ts"
import type { ${event} } from "${contractOf(reaction)}"

/** The last \`${type}\` of each \`${subject}\`. */
export class ${store} extends Context.Service<${store}>()("${module}/${store}", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient

    /** Keeps the last of these events for each subject, in one statement. */
    const keep = (events: ReadonlyArray<Event<typeof ${event}.data.Type>>) => {
      const rows = new Map(
        events.map(({ data, received, time }) => [
          String(data.${subject}),
          { subject: String(data.${subject}), data: received, at: time.toISOString() },
        ]),
      )
      return Effect.orDie(sql\`
        insert into ${table} (subject, data, at)
        select subject, data, at from json_to_recordset(\${JSON.stringify([...rows.values()])}::json)
          as row (subject text, data jsonb, at timestamptz)
        order by subject
        on conflict (subject) do update set data = excluded.data, at = excluded.at\`)
    }

    const find = (${subject}: number) =>
      Effect.map(
        Effect.orDie(sql<{ readonly data: unknown }>\`select data from ${table} where subject = \${String(${subject})}\`),
        ([row]) => row?.data,
      )

    /** Removes a limited number of rows, and returns whether there may be more. */
    const forgetSome = Effect.map(
      Effect.orDie(sql\`
        delete from ${table} where subject in (select subject from ${table} limit \${rowsAtOnce}) returning subject\`),
      (rows) => rows.length === rowsAtOnce,
    )

    return { keep, find, forgetSome }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}

const rowsAtOnce = 1000
`,
    [`${folder}/${store}.test.ts`]: `import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { samplesOf } from "~/runtime/contract/samples.ts"
import { schemaOf } from "~/runtime/contract/eventSchema.ts"
import { Scenario, scenario } from "~/runtime/test/harness/scenario.ts"
import { ${event} } from "${contractOf(reaction)}"
import { ${module} } from "./module.ts"

const data: any = samplesOf(schemaOf(${event}))[0].data

layer(scenario([${module}]), { excludeTestServices: true })("the reaction to ${type} of ${module}", (it) => {
  it.effect("keeps the last event of each ${subject}", () =>
    Effect.gen(function* () {
      const { publish, settled, database, held } = yield* Scenario
      yield* publish(${event}, data)
      yield* publish(${event}, { ...data, ${subject}: 2 })
      yield* publish(${event}, data)
      yield* settled
      expect(yield* held("${module}")).toEqual([])
      const rows = yield* Effect.orDie(database("${module}")\`select subject, data from ${table} order by subject\`)
      expect(rows).toEqual([
        { subject: String(data.${subject}), data },
        { subject: "2", data: { ...data, ${subject}: 2 } },
      ])
    }),
  )
})
`,
  })
}

/** The name of the next migration of a module. */
export const nextMigration = (existing: ReadonlyArray<string>, what: string) => {
  const last = Math.max(0, ...existing.map((name) => Number(name.slice(0, 4))).filter(Number.isInteger))
  return `${String(last + 1).padStart(4, "0")}_create_${what}`
}
