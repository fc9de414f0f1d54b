import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { inbox } from "../inbox/Inbox.ts"
import { done } from "../module/Task.ts"
import type { Mistake } from "./Plant.ts"

type Numbers = ReadonlyArray<{ readonly id: bigint }>

/** The reactions that `names` matches take no notice of orders for which `ignored` is true in the table. */
const forgets = (
  name: string,
  foundBy: number,
  names: RegExp,
  table: string,
  isIgnored: (found: string | undefined) => boolean,
): Mistake => ({
  name,
  foundBy,
  reaction: (reaction, sql) =>
    !names.test(reaction.name)
      ? reaction
      : {
          ...reaction,
          run: (events) =>
            Effect.gen(function* () {
              const rows = yield* Effect.orDie(
                sql<{ order_id: bigint; status: string }>`select order_id, status from ${sql.literal(table)}`,
              )
              const statuses = new Map(rows.map(({ order_id, status }) => [Number(order_id), status]))
              const seen = events.filter(({ data }) => !isIgnored(statuses.get(data.order_id)))
              if (seen.length > 0) yield* reaction.run(seen as never)
            }),
        },
})

const isUnknownPayment = (status: string | undefined) => status === undefined || status === "none"
const isUnknownHold = (status: string | undefined) => status === undefined || status === "expected"

const charge = "payment.charge"

const unmark = (sql: SqlClient.SqlClient) =>
  Effect.orDie(sql<Numbers>`update payments set call = 'no' where call = 'out'`)

/** What is wrong in ORDER-LIFE's and DELIVERY.md's sense, each of which some seed finds. */
export const plants: ReadonlyArray<Mistake> = [
  forgets("payment forgets a stop that comes early", 7, /^payment\.stop-/u, "payments", isUnknownPayment),
  forgets("inventory forgets a stop that comes early", 1, /^inventory\.release-/u, "holds", isUnknownHold),
  forgets("inventory forgets a payment that comes early", 1, /^inventory\.take$/u, "holds", isUnknownHold),
  forgets("inventory releases only what is held", 1, /^inventory\.release-/u, "holds", (status) => status === "taken"),
  forgets("payment forgets to refund", 1, /^payment\.stop-/u, "payments", (status) => status === "successful"),
  {
    name: "payment takes a lost answer for a decline",
    foundBy: 1,
    task: (task) =>
      task.name !== charge
        ? task
        : {
            ...task,
            end: (results) =>
              task.end(
                results.map((one) =>
                  one.result._tag === "Unknown"
                    ? { ...one, result: { _tag: "Answered", answer: { _tag: "Declined", reason: "no_answer" } } }
                    : one,
                ) as unknown as typeof results,
              ),
          },
  },
  {
    name: "payment does not mark its calls",
    foundBy: 1,
    task: (task, sql) =>
      task.name !== charge ? task : { ...task, begin: (items) => Effect.tap(task.begin(items), () => unmark(sql)) },
  },
  {
    name: "payment never looks up a failed payment",
    foundBy: 1,
    task: (task, sql) =>
      task.name !== charge
        ? task
        : {
            ...task,
            end: (results) =>
              Effect.gen(function* () {
                const nexts = yield* task.end(results)
                const failed = yield* Effect.orDie(
                  sql<{ order_id: bigint }>`select order_id from payments where status = 'failed'`,
                )
                const ids = new Set(failed.map(({ order_id }) => String(order_id)))
                return nexts.map((next, n) => (ids.has(results[n]!.id) ? done : next))
              }),
          },
  },
  { name: "a position moves before the effects", foundBy: 2, movesFirst: true },
  {
    name: "an event passes those of its key that failed",
    foundBy: 1,
    inbox: (sql) => ({ ...inbox(sql), heldOf: () => Effect.succeed(() => false) }),
  },
  {
    name: "a copy is not recognised",
    foundBy: 3,
    inbox: (sql) => {
      const right = inbox(sql)
      return { ...right, takeCharge: (deliveries) => Effect.as(right.takeCharge(deliveries), [...deliveries]) }
    },
  },
]
