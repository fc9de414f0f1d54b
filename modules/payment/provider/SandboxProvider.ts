import { Clock, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Database } from "../../../runtime/sql/Database.ts"
import { format } from "../../Money.ts"
import { type Answer, type Charge, NoAnswer, PaymentProvider, type Refund } from "../PaymentProvider.ts"

const charged: Answer = { _tag: "Charged" }
const declined = (reason: string): Answer => ({ _tag: "Declined", reason })
const noAnswer = (reason: string) => new NoAnswer({ reason })

/** How many errors `card_flaky` causes before it is charged. */
const flakyErrors = 2

/**
 * A payment provider for development: the payment method's token decides what it does (README.md). It stores charges and
 * refunds in a database schema of its own, as durably as the module stores payments. Its statements are not part of the
 * module's transactions.
 */
export const layer = Layer.effect(
  PaymentProvider,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const instant = Effect.map(Clock.currentTimeMillis, (now) => new Date(now))
    const answered = <A>(work: Effect.Effect<A, NoAnswer | SqlError.SqlError>): Effect.Effect<A, NoAnswer> =>
      Effect.catchTag(work, "SqlError", Effect.die)

    /** Counts the requests of each key, these included. */
    const countMany = (charges: ReadonlyArray<Charge>) =>
      Effect.map(
        sql<{ key: string; attempts: number }>`
          insert into payment_sandbox.requests as r (key, payment_method, attempts)
          select key, payment_method, 1
          from json_to_recordset(${JSON.stringify(charges.map(({ key, payment_method }) => ({ key, payment_method })))}::json)
            as x (key text, payment_method text)
          order by key
          on conflict (key) do update set attempts = r.attempts + 1 returning key, attempts`,
        (rows) => {
          const attempts = new Map(rows.map((row) => [row.key, row.attempts]))
          return charges.map(({ key }) => attempts.get(key)!)
        },
      )
    const count = yield* database.coalesce(countMany)

    const takeMany = (charges: ReadonlyArray<Charge>) =>
      Effect.gen(function* () {
        const rows = charges.map(({ key, amount }) => ({ key, amount: format(amount) }))
        yield* sql`
          insert into payment_sandbox.charges (key, amount, charged_at)
          select key, amount, ${yield* instant} from json_to_recordset(${JSON.stringify(rows)}::json)
            as x (key text, amount numeric)
          order by key on conflict (key) do nothing`
        return charges.map(() => undefined)
      })
    const take = yield* database.coalesce(takeMany)

    const answerTo = (charge: Charge, attempts: number): Effect.Effect<Answer, NoAnswer> => {
      switch (charge.payment_method) {
        case "card_ok":
          return Effect.as(take(charge), charged)
        case "card_slow":
          return Effect.as(Effect.andThen(take(charge), Effect.sleep("3 seconds")), charged)
        case "card_timeout":
          return Effect.andThen(take(charge), noAnswer("the answer was lost"))
        case "card_flaky":
          return attempts <= flakyErrors
            ? Effect.fail(noAnswer("the sandbox has a passing fault"))
            : Effect.as(take(charge), charged)
        case "card_down":
          return Effect.fail(noAnswer("the sandbox is down for this card"))
        case "card_declined":
        case "card_expired":
          return Effect.succeed(declined(charge.payment_method))
        default:
          return Effect.succeed(declined("unknown_payment_method"))
      }
    }

    const charge = (charge: Charge) => Effect.flatMap(count(charge), (attempts) => answerTo(charge, attempts))

    const lookUp = ({ key }: Pick<Charge, "key">) =>
      answered(
        Effect.gen(function* () {
          const [request] = yield* sql<{ payment_method: string; charged: boolean }>`
            select payment_method, exists (select from payment_sandbox.charges c where c.key = r.key) as charged
            from payment_sandbox.requests r where key = ${key}`
          if (request?.payment_method === "card_down") return yield* noAnswer("the sandbox is down for this card")
          return request?.charged === true ? ({ _tag: "Charged" } as const) : ({ _tag: "NoCharge" } as const)
        }),
      )

    const refund = ({ key, charge_key }: Refund) =>
      answered(
        Effect.gen(function* () {
          const now = yield* instant
          const found = yield* sql`
            update payment_sandbox.charges
            set refund_key = coalesce(refund_key, ${key}), refunded_at = coalesce(refunded_at, ${now})
            where key = ${charge_key} and coalesce(refund_key, ${key}) = ${key} returning 1`
          if (found.length === 0) return yield* noAnswer("there is no such charge to refund")
        }),
      )

    return { charge, lookUp, refund }
  }),
)
