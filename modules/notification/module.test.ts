import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import type { EventType } from "../../runtime/events/Event.ts"
import { encode } from "../../runtime/events/cloudEvents.ts"
import { eventually, onEveryDatabase, pagesOf, Scenario } from "../../runtime/test/harness/scenario.ts"
import { OrderCancelled, OrderCreated, OrderFailed, OrderProcessed } from "../order/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "../payment/contract/events.ts"
import { UserCreated } from "../user/contract/events.ts"
import { Kind, NotificationSent } from "./contract/events.ts"
import { notification } from "./module.ts"

let last = 0
const next = () => ++last

const userCreated = (user_id: number) => ({ user_id, email: `ada.${user_id}@example.org`, name: "Ada Lovelace" })

const of = (user_id: number, order_id: number) => ({ order_id, user_id, amount: "100.50" })
const paymentOf = (user_id: number, order_id: number) => ({ ...of(user_id, order_id), payment_id: order_id })

/** Puts an event on the log that is that many hours old. */
const tellOld = <E extends EventType>(event: E, data: E["data"]["Encoded"] & { user_id: number }, hoursAgo: number) =>
  Effect.flatMap(Scenario, ({ put }) =>
    put(
      encode({
        id: uuidV7Unsafe(),
        source: "/galleria/hand",
        type: event.type,
        version: 1,
        key: String(data.user_id),
        subject: "1",
        time: new Date(Date.now() - hoursAgo * 60 * 60 * 1_000).toISOString(),
        traceparent: null,
        data: JSON.stringify(data),
      }),
    ),
  )

interface Item {
  readonly id: number
  readonly kind: string
  readonly status: string
  readonly [member: string]: unknown
}

const listed = (query: string) =>
  Effect.flatMap(Scenario, ({ get }) =>
    Effect.map(get(`/notifications?${query}`), ({ body }) => body.items as ReadonlyArray<Item>),
  )

const ofUser = (user_id: number) => listed(`user_id=${user_id}&limit=200`)

const kindsOf = (items: ReadonlyArray<Item>) => items.map(({ kind }) => kind).toReversed()

/** The `notification_sent` events of a user. */
const sentTo = (user_id: number) =>
  Effect.flatMap(Scenario, ({ published }) =>
    Effect.map(published(NotificationSent), (events) => events.filter(({ data }) => data.user_id === user_id)),
  )

/** The notifications of a user, once that many are sent and published. */
const sent = (user_id: number, count: number) =>
  eventually(
    Effect.gen(function* () {
      const items = yield* ofUser(user_id)
      expect(items.map(({ status }) => status)).toEqual(Array.from({ length: count }, () => "sent"))
      expect(yield* sentTo(user_id)).toHaveLength(count)
      return items
    }),
  )

/** A user who has been welcomed. */
const aUser = Effect.gen(function* () {
  const { publish } = yield* Scenario
  const user_id = next()
  yield* publish(UserCreated, userCreated(user_id))
  yield* sent(user_id, 1)
  return user_id
})

const onBoth = await onEveryDatabase([notification], { CURRENCY: "EUR" })
onBoth("the module notification, alone", (it) => {
  describe("notifications", () => {
    it.effect("welcome a user", () =>
      Effect.gen(function* () {
        const user_id = yield* aUser
        const [welcome] = yield* ofUser(user_id)
        expect(welcome).toEqual({
          id: expect.any(Number),
          user_id,
          order_id: null,
          channel: "log",
          kind: "welcome",
          subject: "Welcome to Galleria",
          body: expect.stringMatching(/^Hello Ada Lovelace,\n\n/u),
          status: "sent",
          created_at: expect.any(String),
        })
        expect(yield* sentTo(user_id)).toMatchObject([
          {
            source: "/galleria/notification",
            key: String(user_id),
            data: { notification_id: welcome!.id, user_id, channel: "log", kind: "welcome" },
          },
        ])
        expect((yield* sentTo(user_id))[0]!.data).not.toHaveProperty("order_id")
      }),
    )

    const endings: ReadonlyArray<
      readonly [string, ReadonlyArray<readonly [EventType, object]>, ReadonlyArray<string>]
    > = [
      [
        "processed",
        [
          [OrderCreated, {}],
          [PaymentSuccessful, {}],
          [OrderProcessed, {}],
        ],
        ["order_created", "order_paid", "order_processed"],
      ],
      [
        "declined",
        [
          [OrderCreated, {}],
          [PaymentFailed, { reason: "card_declined" }],
          [OrderFailed, { reason: "card_declined" }],
        ],
        ["order_created", "payment_declined", "order_failed"],
      ],
      [
        "given up",
        [
          [OrderCreated, {}],
          [PaymentFailed, { reason: "provider_unavailable" }],
          [OrderFailed, { reason: "provider_unavailable" }],
        ],
        ["order_created", "payment_declined", "order_failed"],
      ],
      [
        "short of stock",
        [
          [OrderCreated, {}],
          [OrderFailed, { reason: "out_of_stock" }],
        ],
        ["order_created", "order_failed"],
      ],
      [
        "expired after the charge",
        [
          [OrderCreated, {}],
          [PaymentSuccessful, {}],
          [OrderFailed, { reason: "hold_expired" }],
          [PaymentRefunded, { reason: "hold_expired" }],
        ],
        ["order_created", "order_paid", "order_failed", "payment_refunded"],
      ],
      [
        "cancelled",
        [
          [OrderCreated, {}],
          [OrderCancelled, { reason: "ordered twice" }],
        ],
        ["order_created", "order_cancelled"],
      ],
      [
        "cancelled after the charge",
        [
          [OrderCreated, {}],
          [PaymentSuccessful, {}],
          [OrderCancelled, {}],
          [PaymentRefunded, { reason: "cancelled" }],
        ],
        ["order_created", "order_paid", "order_cancelled", "payment_refunded"],
      ],
    ]
    it.effect.each(endings)("report an order that is %s", ([, facts, kinds]) =>
      Effect.gen(function* () {
        const { publish } = yield* Scenario
        const user_id = yield* aUser
        const order_id = next()
        for (const [event, data] of facts) yield* publish(event, { ...paymentOf(user_id, order_id), ...data })
        yield* sent(user_id, kinds.length + 1)
        const items = yield* listed(`order_id=${order_id}`)
        expect(kindsOf(items).toSorted()).toEqual([...kinds].toSorted())
        for (const item of items) {
          expect(item).toMatchObject({ user_id, order_id, channel: "log" })
          expect(item["subject"]).toContain(String(order_id))
          expect(item["body"]).toContain("100.50 EUR")
        }
        const published = (yield* sentTo(user_id)).filter(({ data }) => data.order_id === order_id)
        expect(published.map(({ data }): string => data.kind).toSorted()).toEqual([...kinds].toSorted())
        for (const { data } of published) expect(Kind.literals).toContain(data.kind)
      }),
    )

    it.effect("wait for an unknown user", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const [user_id, order_id] = [next(), next()]
        yield* publish(OrderCreated, of(user_id, order_id))
        yield* publish(OrderProcessed, of(user_id, order_id))
        yield* settled
        yield* Effect.sleep("300 millis")
        expect((yield* ofUser(user_id)).map(({ status }) => status)).toEqual(["pending", "pending"])
        expect(yield* sentTo(user_id)).toEqual([])

        yield* publish(UserCreated, userCreated(user_id))
        const items = yield* sent(user_id, 3)
        expect(kindsOf(items).toSorted()).toEqual(["order_created", "order_processed", "welcome"])
      }),
    )

    it.effect("are all sent when users and their orders arrive at the same time", () =>
      Effect.gen(function* () {
        const { publishAll, settled } = yield* Scenario
        const users = Array.from({ length: 200 }, next)
        yield* Effect.all(
          [
            publishAll(
              OrderCreated,
              users.map((user_id) => of(user_id, user_id)),
            ),
            publishAll(UserCreated, users.map(userCreated)),
            publishAll(
              OrderProcessed,
              users.map((user_id) => of(user_id, user_id)),
            ),
          ],
          { concurrency: "unbounded" },
        )
        yield* settled
        yield* eventually(
          Effect.gen(function* () {
            const { database } = yield* Scenario
            const rows = yield* Effect.orDie(database("notification")<{ status: string; count: number }>`
              select status, count(*)::int as count from notifications
              where user_id between ${users[0]!} and ${users.at(-1)!} group by status`)
            expect(rows).toEqual([{ status: "sent", count: 600 }])
          }),
        )
      }),
    )

    it.effect("miss no user who becomes known while they are stored", () =>
      Effect.gen(function* () {
        const { publish, database } = yield* Scenario
        const user_id = next()
        const sql = database("notification")
        const { email, name } = userCreated(user_id)
        // user_created in a transaction that has looked for notifications, found none, and not committed yet.
        const knowing = sql.withTransaction(
          Effect.andThen(
            sql`insert into users (user_id, email, name, known_at) values (${user_id}, ${email}, ${name}, now())`,
            Effect.sleep("500 millis"),
          ),
        )
        yield* Effect.all([knowing, Effect.delay(publish(OrderCreated, of(user_id, next())), "100 millis")], {
          concurrency: "unbounded",
        }).pipe(Effect.orDie)
        yield* sent(user_id, 1)
      }),
    )

    it.effect("are created once for each event, however often it arrives", () =>
      Effect.gen(function* () {
        const { publish, settled, database } = yield* Scenario
        const user_id = yield* aUser
        const order_id = next()
        const id = yield* publish(OrderProcessed, of(user_id, order_id))
        yield* publish(OrderProcessed, of(user_id, order_id), id)
        yield* sent(user_id, 2)

        // A replay of history that the inbox has forgotten.
        yield* Effect.orDie(database("notification")`delete from inbox`)
        yield* publish(OrderProcessed, of(user_id, order_id), id)
        yield* publish(OrderCreated, of(user_id, order_id))
        yield* settled
        expect(kindsOf(yield* sent(user_id, 3))).toEqual(["welcome", "order_processed", "order_created"])
      }),
    )

    it.effect("are not created for events older than 24 hours", () =>
      Effect.gen(function* () {
        const { settled, publish } = yield* Scenario
        const [user_id, order_id] = [next(), next()]
        yield* tellOld(UserCreated, userCreated(user_id), 30 * 24)
        yield* tellOld(OrderCreated, of(user_id, order_id), 25)
        yield* tellOld(OrderFailed, of(user_id, order_id), 23)
        yield* settled
        // The user of the old event is known all the same.
        expect(kindsOf(yield* sent(user_id, 1))).toEqual(["order_failed"])
        yield* publish(PaymentRefunded, { ...paymentOf(user_id, order_id), reason: "order_failed" })
        expect(kindsOf(yield* sent(user_id, 2))).toEqual(["order_failed", "payment_refunded"])
      }),
    )

    it.effect("accept minimal events from foreign producers", () =>
      Effect.gen(function* () {
        const { put } = yield* Scenario
        const [user_id, order_id] = [next(), next()]
        const name = "Eve\r\nBcc: mallory@example.org\u0000"
        yield* put({ topic: "order_created", value: Buffer.from(JSON.stringify(of(user_id, order_id))) })
        yield* put({ topic: "user_created", value: Buffer.from(JSON.stringify({ ...userCreated(user_id), name })) })
        const items = yield* sent(user_id, 2)
        const welcome = items.find(({ kind }) => kind === "welcome")
        expect(welcome!["body"]).toMatch(/^Hello Eve Bcc: mallory@example\.org,\n\n/u)
      }),
    )

    it.effect("of other orders are not held back by an event that fails", () =>
      Effect.gen(function* () {
        const { put, publish, held } = yield* Scenario
        const user_id = yield* aUser
        const [broken, sound] = [next(), next()]
        const value = Buffer.from(JSON.stringify({ ...of(user_id, broken), amount: "much" }))
        yield* put({ topic: "order_created", key: String(user_id), value })
        yield* publish(OrderCreated, of(user_id, broken))
        yield* publish(OrderCreated, of(user_id, sound))
        yield* sent(user_id, 2)
        expect((yield* listed(`order_id=${sound}`)).map(({ status }) => status)).toEqual(["sent"])
        expect((yield* held("notification")).filter(({ key }) => key === `order_id:${broken}`)).toMatchObject([
          { reaction: "notification.tell-created", status: "retrying" },
          { reaction: "notification.tell-created", status: "waiting" },
        ])
      }),
    )
  })

  describe("the list", () => {
    it.effect("is newest first, in pages, by user and by order", () =>
      Effect.gen(function* () {
        const { publish } = yield* Scenario
        const user_id = yield* aUser
        const orders = [next(), next(), next()]
        for (const order_id of orders) {
          yield* publish(OrderCreated, of(user_id, order_id))
          yield* publish(OrderProcessed, of(user_id, order_id))
        }
        const all = yield* sent(user_id, 7)
        expect(all.map(({ id }) => id)).toEqual(all.map(({ id }) => id).toSorted((a, b) => b - a))
        const pages = yield* pagesOf(`/notifications?user_id=${user_id}&limit=3`)
        expect(pages.map((page) => page.length)).toEqual([3, 3, 1])
        expect(pages.flat()).toEqual(all)
        const [order_id] = orders
        expect(yield* listed(`order_id=${order_id}`)).toEqual(all.filter((item) => item["order_id"] === order_id))
        expect(yield* listed(`order_id=${order_id}&user_id=${user_id}`)).toHaveLength(2)
        expect(yield* listed(`order_id=${order_id}&user_id=${user_id + 1_000_000}`)).toEqual([])
      }),
    )

    it.effect("refuses a filter that is no id, and a cursor of another list", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        const { status, body } = yield* get("/notifications?user_id=0&order_id=x&limit=0")
        expect(status).toBe(422)
        expect(body.errors.map(({ parameter }: any) => parameter).toSorted()).toEqual(["limit", "order_id", "user_id"])
        const user_id = yield* aUser
        yield* aUser
        const { body: page } = yield* get("/notifications?limit=1")
        const other = yield* get(`/notifications?user_id=${user_id}&cursor=${encodeURIComponent(page.next_cursor)}`)
        expect({ status: other.status, type: other.body.type }).toEqual({
          status: 400,
          type: "/problems/invalid-cursor",
        })
      }),
    )
  })

  it.effect("has no check for mail where no mail server is configured", () =>
    Effect.gen(function* () {
      const { get } = yield* Scenario
      const { body } = yield* get("/readyz")
      expect(Object.keys(body.checks)).toContain("tasks.notification")
      expect(Object.keys(body.checks)).not.toContain("mail")
    }),
  )
})
