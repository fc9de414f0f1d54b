import { Clock, type Context, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { api } from "../api.ts"
import type { DeadLetters } from "../DeadLetters.ts"
import { Unavailable } from "../../http/Problem.ts"
import { type Audit, mostFound, type Violation } from "../../module/Audit.ts"
import { ofEach, Patience } from "../../sql/patience.ts"
import { ModuleNotFound } from "./api.ts"
import { audit, pageSize } from "./audit.ts"
import { longRunning } from "./longRunning.ts"
import { judgeOutbox, judgeParkedStop } from "./invariants.ts"

/** A module that runs, as it is audited. */
export interface Audited {
  readonly name: string
  readonly audit: Audit | undefined
  readonly deadLetters: DeadLetters["Service"]
  readonly ports: Context.Context<SqlClient.SqlClient>
}

const outboxOf = ({ name }: Audited) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [oldest] = yield* Effect.orDie(
      sql<{
        event_id: string
        type: string
        time: Date
      }>`select event_id, type, time from outbox order by seq limit 1`,
    )
    return judgeOutbox(name, oldest, yield* Clock.currentTimeMillis)
  })

const orderIn = (data: unknown) => {
  const id = typeof data === "object" && data !== null && "order_id" in data ? Number(data.order_id) : NaN
  return Number.isSafeInteger(id) && id > 0 ? id : undefined
}

const parkedStopsOf = ({ name, audit, deadLetters }: Audited) =>
  Effect.gen(function* () {
    const found: Array<Violation> = []
    for (const reaction of audit?.stops ?? []) {
      const parked = yield* deadLetters.list({ statuses: ["parked"], reaction }, undefined, mostFound)
      for (const { id, event } of parked) {
        const order_id = orderIn(event.data)
        if (order_id === undefined) continue
        const facts = (yield* audit!.facts(order_id - 1, 1)).find((one) => one.order_id === order_id)
        found.push(...judgeParkedStop(name, { id, reaction, order_id }, facts))
      }
    }
    return found
  })

/** The violations within one module. */
const localOf = (module: Audited) =>
  Effect.gen(function* () {
    const own = (yield* module.audit?.violations ?? Effect.succeed([])).map((one) => ({ ...one, module: module.name }))
    return [...own, ...(yield* parkedStopsOf(module)), ...(yield* outboxOf(module))]
  }).pipe(Effect.provideContext(module.ports))

/** The violations over all modules of the process, and when they were looked for. */
const auditOf = (modules: ReadonlyArray<Audited>) =>
  Effect.gen(function* () {
    const checked_at = new Date(yield* Clock.currentTimeMillis).toISOString()
    const violations = yield* audit({
      sources: modules.flatMap(({ name, audit }) =>
        audit === undefined ? [] : [{ module: name, facts: audit.facts }],
      ),
      local: Effect.map(Effect.forEach(modules, localOf), (all) => all.flat()),
      looks: 3,
      pause: "1 second",
    })
    return { checked_at, violations }
  }).pipe(Effect.provideServiceEffect(Patience, Effect.sync(ofEach)))

/** `/admin/audit` over all modules of the process. */
export const auditHttp = (modules: ReadonlyArray<Audited>) =>
  HttpApiBuilder.group(
    api,
    "audit",
    Effect.fnUntraced(function* (handlers) {
      const audited = yield* longRunning(auditOf(modules))
      return handlers.handleAll({
        audit: () =>
          Effect.flatMap(audited, (known) =>
            known === undefined ? Effect.die(new Unavailable({})) : Effect.succeed(known),
          ),
        facts: ({ params: { module: name }, query: { after = 0, limit = pageSize } }) =>
          Effect.gen(function* () {
            const audit = modules.find((module) => module.name === name)?.audit
            return audit === undefined ? yield* new ModuleNotFound({}) : { items: yield* audit.facts(after, limit) }
          }),
      })
    }),
  )
