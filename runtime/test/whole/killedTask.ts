import { Effect, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { appendFileSync, existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { again, done, type Item, NotMade, task } from "../../module/Task.ts"
import { Database } from "../../sql/Database.ts"
import { migrate } from "../../sql/migrate.ts"
import { makeSteps } from "../../tasks/steps.ts"
import { later } from "../../tasks/suite/TasksSuite.ts"
import { tasksIn } from "../../tasks/taskTable.ts"
import { beforeEachRequest, runLife } from "../harness/life.ts"

/**
 * One life of a process that kills itself: `node killedTask.ts FOLDER N`.
 *
 * It first does what the life before left in the folder, and audits it; then it decides on three new calls and does one
 * turn of the worker, until just before its N-th step, where it dies by kill -9: a request to the database, or a call to
 * the outside, which is a file of the ids that were called. When all ends earlier, as for 0, it says so and ends with 0;
 * with 1 and what is wrong when something is.
 */
const [folder = "", life = "0"] = process.argv.slice(2)

let stepsLeft = Number.POSITIVE_INFINITY
const step = () => {
  if (--stepsLeft === 0) process.kill(process.pid, "SIGKILL")
}
beforeEachRequest(step)

const outside = join(folder, "..", "outside")
const calledOutside = (): ReadonlyArray<string> =>
  existsSync(outside) ? readFileSync(outside, "utf8").trimEnd().split("\n") : []

/** Of each life: one call is made, one is not made at first, and the decision about one fails at first. */
const idsOf = (of: number) => ["made", "not-made", "failing"].map((what) => `${of}.${what}`)

const check = (fact: string, holds: boolean) =>
  holds ? Effect.void : Effect.die(new Error(`it does not hold: ${fact}`))

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const database = yield* Database
  yield* migrate({})
  yield* sql`create table if not exists decision (id text primary key)`
  yield* sql`create table if not exists deed (id text not null)`
  const isNew = ({ id }: Pick<Item, "id">) => id.startsWith(`${life}.`)

  const charge = task({
    name: "lives.charge",
    retry: Schedule.spaced("10 minutes"),
    begin: (items) =>
      Effect.forEach(items, (item) =>
        Effect.gen(function* () {
          const isKnown = calledOutside().includes(item.id)
          yield* check(`${item.id} was called, so it comes back as unknown`, item.isUnknown || !isKnown)
          if (item.id.endsWith("failing") && isNew(item)) return yield* Effect.die(new Error("it cannot be decided"))
          return item.isUnknown
        }),
      ),
    call: (asksFirst: boolean, id) =>
      Effect.gen(function* () {
        step()
        if (id.endsWith("not-made") && isNew({ id })) return yield* new NotMade({ reason: "not now" })
        if (!asksFirst || !calledOutside().includes(id)) appendFileSync(outside, `${id}\n`)
      }),
    end: (results) =>
      Effect.forEach(results, ({ id, result }) => {
        if (result._tag !== "Answered") return Effect.succeed(again)
        return Effect.as(Effect.orDie(sql`insert into deed (id) values (${id})`), done)
      }),
  })
  const tasks = tasksIn(sql, [charge.name], Effect.void)
  const steps = yield* makeSteps()

  const turn = Effect.gen(function* () {
    const { taken, called } = yield* steps.claim(charge, 10)
    const finished = yield* Effect.forEach(called, (one) =>
      Effect.map(steps.make(charge, one), (result) => ({ ...one, result })),
    )
    if (finished.length > 0) yield* steps.finish(charge, finished)
    return taken > 0
  })
  const deedsOf = (ids: ReadonlyArray<string>) =>
    Effect.map(sql<{ id: string }>`select id from deed where id in ${sql.in(ids)}`, (rows) => rows.map(({ id }) => id))

  const before = idsOf(Number(life) - 1)
  const atLife = later((Number(life) + 1) * 3_600_000)
  const left = yield* deedsOf(before)
  yield* atLife(Effect.repeat(turn, { while: (more) => more }))
  const decided = yield* sql<{ id: string }>`select id from decision where id in ${sql.in(before)}`
  yield* check("one decides about all or none", decided.length === 0 || decided.length === before.length)
  const expected = decided.map(({ id }) => id).toSorted()
  const called = calledOutside().filter((id) => before.includes(id))
  yield* check(`${expected.join()} was called once: ${called.join()}`, called.toSorted().join() === expected.join())
  const deeds = yield* deedsOf(before)
  yield* check(`${expected.join()} was recorded once: ${deeds.join()}`, deeds.toSorted().join() === expected.join())
  yield* check(
    `what was recorded stays: ${left.join()}`,
    left.every((id) => deeds.includes(id)),
  )
  yield* check("nothing is left to be done", (yield* sql`select from task`).length === 0)

  stepsLeft = Number(life)
  const ids = idsOf(Number(life))
  yield* database.transaction(
    Effect.gen(function* () {
      for (const id of ids) yield* sql`insert into decision (id) values (${id})`
      yield* tasks.add(
        charge.name,
        ids.map((id) => ({ id })),
      )
    }),
  )
  yield* turn
  stepsLeft = Number.POSITIVE_INFINITY
  return `${(yield* deedsOf(ids)).join()} was done in a turn`
})

if (import.meta.main) await runLife(folder, program)
