import { BigDecimal, Clock, Context, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Reject } from "../../runtime/module/Reaction.ts"
import { Outbox } from "../../runtime/outbox/Outbox.ts"
import { Database } from "../../runtime/sql/Database.ts"
import { Tasks } from "../../runtime/module/Tasks.ts"
import { format } from "../Money.ts"
import type { Payment as PaymentView, PaymentStatus } from "./contract/api.ts"
import { type Decision, none, type Payment } from "./Payment.ts"

/** One decision about the payment of one order. */
export interface Change<D extends Decision = Decision> {
  readonly order_id: number
  readonly decide: (payment: Payment, now: number) => D
}

interface Row {
  readonly order_id: bigint
  readonly id: bigint | null
  readonly status: Payment["status"]
  readonly reason: string | null
  readonly go: boolean
  readonly stop: string | null
  readonly call: Payment["call"]
  readonly user_id: bigint | null
  readonly amount: string | null
  readonly payment_method: string | null
  readonly key: string | null
  readonly chargeable_at: Date | null
  readonly failed_at: Date | null
}

const termsOf = ({ user_id, amount, payment_method, key }: Row): Payment["terms"] =>
  user_id === null || amount === null || payment_method === null || key === null
    ? undefined
    : { user_id: Number(user_id), amount: BigDecimal.fromStringUnsafe(amount), payment_method, key }

const paymentOf = (row: Row): Payment => ({
  order_id: Number(row.order_id),
  id: row.id === null ? undefined : Number(row.id),
  status: row.status,
  reason: row.reason ?? undefined,
  terms: termsOf(row),
  go: row.go,
  stop: row.stop ?? undefined,
  call: row.call,
  chargeable_at: row.chargeable_at?.getTime(),
  failed_at: row.failed_at?.getTime(),
})

const rowOf = ({ terms, chargeable_at, failed_at, ...payment }: Payment) => ({
  ...payment,
  ...terms,
  ...(terms === undefined ? {} : { amount: format(terms.amount) }),
  chargeable_at: dateOf(chargeable_at),
  failed_at: dateOf(failed_at),
})
const dateOf = (millis: number | undefined) => (millis === undefined ? null : new Date(millis))

/** A payment with an id, as the API shows it. */
interface Shown {
  readonly id: bigint
  readonly order_id: bigint
  readonly user_id: bigint
  readonly amount: string
  readonly status: PaymentStatus
  readonly reason: string | null
  readonly created_at: Date
}

const viewOf = ({ reason, ...row }: Shown): PaymentView => ({
  ...row,
  id: Number(row.id),
  order_id: Number(row.order_id),
  user_id: Number(row.user_id),
  ...(reason === null ? {} : { reason }),
})

/** The task names, by the task of a decision. */
export const taskNames = { charge: "payment.charge", refund: "payment.refund" } as const

/** The statements on payments. */
const paymentTable = (sql: SqlClient.SqlClient) => {
  const textOf = (changes: ReadonlyArray<Change>) => JSON.stringify(changes.map(({ order_id }) => order_id))

  /** Inserts a row for each order, to be locked: events of different topics may arrive at the same time. */
  const ensure = (changes: ReadonlyArray<Change>) => sql`
    insert into payments (order_id)
    select value::bigint from json_array_elements_text(${textOf(changes)}::json) order by 1 on conflict do nothing`

  const lock = (changes: ReadonlyArray<Change>) => sql<Row>`
    select order_id, id, status, reason, go, stop, call, user_id, amount, payment_method, key, chargeable_at, failed_at
    from payments where order_id in (select value::bigint from json_array_elements_text(${textOf(changes)}::json))
    order by order_id for update`

  const save = (payments: ReadonlyArray<Payment>, now: number) => sql`
    update payments p set
      id = case when x.status = 'none' then null else coalesce(p.id, nextval('payment_ids')) end,
      created_at = case when x.status = 'none' then null else coalesce(p.created_at, ${new Date(now)}) end,
      status = x.status, reason = x.reason, go = x.go, stop = x.stop, call = x.call, user_id = x.user_id,
      amount = x.amount, payment_method = x.payment_method, key = x.key,
      chargeable_at = x.chargeable_at, failed_at = x.failed_at
    from json_to_recordset(${JSON.stringify(payments.map(rowOf))}::json) as x (
      order_id bigint, status text, reason text, go boolean, stop text, call text, user_id bigint, amount numeric,
      payment_method text, key text, chargeable_at timestamptz, failed_at timestamptz)
    where p.order_id = x.order_id`

  const shown = (
    wanted: ReturnType<typeof sql.and>,
    limit: number,
  ): Effect.Effect<ReadonlyArray<PaymentView>, SqlError.SqlError> =>
    Effect.map(
      sql<Shown>`
        select id, order_id, user_id, amount, status, reason, created_at from payments
        where ${wanted} order by id desc limit ${limit}`,
      (rows) => rows.map(viewOf),
    )

  return { ensure, lock, save, shown }
}

/** The table of payments. */
export class PaymentStore extends Context.Service<PaymentStore>()("payment/PaymentStore", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { ensure, lock, save, shown } = paymentTable(sql)
    const database = yield* Database
    const outbox = yield* Outbox
    const tasks = yield* Tasks

    /** Locks the payments, decides the changes one after the other, saves, and appends events and tasks. */
    const decide = <D extends Decision>(changes: ReadonlyArray<Change<D>>) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const before = new Map((yield* lock(changes)).map((row) => [Number(row.order_id), paymentOf(row)]))
        const after = new Map(before)
        const decisions = changes.map(({ order_id, decide }) => {
          const decision = decide(after.get(order_id) ?? none(order_id), now)
          if (after.has(order_id)) after.set(order_id, decision.payment)
          return decision
        })
        const changed = [...after.values()].filter((payment) => before.get(payment.order_id) !== payment)
        if (changed.length > 0) yield* save(changed, now)
        yield* outbox.append(decisions.flatMap(({ facts }) => facts))
        for (const task of ["charge", "refund"] as const) {
          const asked = decisions.filter((decision) => decision.task === task)
          yield* tasks.add(
            taskNames[task],
            asked.map(({ payment }) => ({ id: payment.order_id })),
          )
        }
        return decisions
      })

    /** Applies events about orders, inserting missing payments, in one transaction. */
    const learn = (changes: ReadonlyArray<Change>) =>
      changes.length === 0
        ? Effect.void
        : database.transaction(Effect.andThen(ensure(changes), decide(changes))).pipe(
            Effect.catchReason("SqlError", "UniqueViolation", () =>
              Effect.fail(new Reject({ reason: "another order has an order_created event of this id" })),
            ),
            Effect.catchTag("SqlError", Effect.die),
            Effect.asVoid,
          )

    /** Changes payments in one transaction, and returns the decision about each. */
    const update = <D extends Decision>(changes: ReadonlyArray<Change<D>>) =>
      Effect.orDie(database.transaction(decide(changes)))

    const find = (id: number) => Effect.map(Effect.orDie(shown(sql`id = ${id}`, 1)), ([payment]) => payment)

    const newest = (
      filter: { readonly order_id?: number; readonly user_id?: number; readonly status?: PaymentStatus },
      before: string | undefined,
      limit: number,
    ) =>
      Effect.orDie(
        shown(
          sql.and([
            sql`id is not null`,
            ...(filter.order_id === undefined ? [] : [sql`order_id = ${filter.order_id}`]),
            ...(filter.user_id === undefined ? [] : [sql`user_id = ${filter.user_id}`]),
            ...(filter.status === undefined ? [] : [sql`status = ${filter.status}`]),
            ...(before === undefined ? [] : [sql`id < ${before}::bigint`]),
          ]),
          limit,
        ),
      )

    return { learn, update, find, newest }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
