import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { inbox } from "../../delivery/inbox.ts"
import { done } from "../../module/Task.ts"
import type { Plant, PlantedBug } from "./Plant.ts"

type AnyEvent = Parameters<NonNullable<ReturnType<NonNullable<Plant["reaction"]>>["run"]>>[0][number]

/** Changes what the reactions that `names` matches are given. */
const inReactions = (
  names: RegExp,
  change: (events: ReadonlyArray<AnyEvent>, sql: SqlClient.SqlClient) => Effect.Effect<ReadonlyArray<AnyEvent>>,
): Plant => ({
  reaction: (reaction, sql) =>
    !names.test(reaction.name)
      ? reaction
      : {
          ...reaction,
          run: (events) =>
            Effect.flatMap(change(events, sql), (changed) =>
              changed.length === 0 ? Effect.void : reaction.run(changed as unknown as typeof events),
            ),
        },
})

/** The reactions that `names` matches ignore events of orders whose row in the table has one of these statuses. */
const ignores = (names: RegExp, table: string, statuses: ReadonlyArray<string | undefined>): Plant =>
  inReactions(names, (events, sql) =>
    Effect.map(
      Effect.orDie(sql<{ order_id: bigint; status: string }>`select order_id, status from ${sql.literal(table)}`),
      (rows) => {
        const found = new Map(rows.map(({ order_id, status }) => [Number(order_id), status]))
        return events.filter(({ data }) => !statuses.includes(found.get(data.order_id)))
      },
    ),
  )

/** Changes the data of the events that the reaction is given. */
const misreads = (name: string, change: (data: any) => object): Plant =>
  inReactions(new RegExp(`^${name}$`, "u"), (events) =>
    Effect.succeed(events.map((event) => ({ ...event, data: { ...event.data, ...change(event.data) } }))),
  )

const charge = "payment.charge"
const stopsOfPayment = /^payment\.stop-/u
const releases = /^inventory\.release-/u

/** Each bug is a wrong variant of a rule that is in the README of the module, or in DELIVERY.md, and some seed finds it. */
export const plants: ReadonlyArray<PlantedBug> = [
  {
    name: "payment does not remember a stop that comes early",
    foundBy: 4,
    ...ignores(stopsOfPayment, "payments", [undefined, "none"]),
  },
  {
    name: "inventory does not remember a stop that comes early",
    foundBy: 20,
    ...ignores(releases, "holds", [undefined, "expected"]),
  },
  {
    name: "inventory does not remember a payment that comes early",
    foundBy: 2,
    ...ignores(/^inventory\.take$/u, "holds", [undefined, "expected"]),
  },
  {
    name: "inventory releases stock that is held, but not stock that is taken",
    foundBy: 41,
    ...ignores(releases, "holds", ["taken"]),
  },
  {
    name: "inventory lets a hold expire although a payment is on its way",
    foundBy: 21,
    deliveries: (right) => ({ ...right, caughtUp: () => Effect.succeed(true) }),
  },
  {
    name: "order takes stock that is held for stock that is taken",
    foundBy: 2,
    ...misreads("order.learn-stock", ({ change }) => (change === "held" ? { change: "taken" } : {})),
  },
  {
    name: "payment charges orders that do not name it as a step",
    foundBy: 20,
    ...misreads("payment.open", ({ steps }) => ({ steps: ["payment", ...steps] })),
  },
  {
    name: "payment does not refund",
    foundBy: 1,
    ...ignores(stopsOfPayment, "payments", ["successful"]),
  },
  {
    name: "payment takes a lost answer for a decline",
    foundBy: 4,
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
    name: "payment does not mark a call",
    foundBy: 14,
    task: (task, sql) =>
      task.name !== charge
        ? task
        : {
            ...task,
            begin: (items) =>
              Effect.tap(task.begin(items), () =>
                Effect.orDie(sql`update payments set call = 'no' where call = 'out'`),
              ),
          },
  },
  {
    name: "payment does not look up a failed payment",
    foundBy: 99,
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
  {
    name: "user does not remember an ending that comes before its order",
    foundBy: 5,
    ...ignores(/^user\.record-(?:processed|failed|cancelled)$/u, "user_orders", [undefined]),
  },
  { name: "a position moves before the commit of the effects", foundBy: 5, movesFirst: true },
  {
    name: "the gate of held keys is missing: an event passes those of its key that failed",
    foundBy: 49,
    inbox: (sql) => ({ ...inbox(sql), heldKeys: () => Effect.succeed(() => false) }),
  },
  {
    name: "a copy of an event is not recognised",
    foundBy: 26,
    inbox: (sql) => {
      const right = inbox(sql)
      return { ...right, takeCharge: (deliveries) => Effect.as(right.takeCharge(deliveries), [...deliveries]) }
    },
  },
]
