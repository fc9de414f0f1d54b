import { describe, expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { dnsCache } from "nodemailer/lib/shared"
import { afterAll } from "vitest"
import { eventually, onEveryDatabase, Scenario, scenario } from "../../../runtime/test/harness/scenario.ts"
import { OrderCancelled, OrderCreated, OrderProcessed } from "../../order/contract/events.ts"
import { UserCreated } from "../../user/contract/events.ts"
import { NotificationSent } from "../contract/events.ts"
import { notification } from "../module.ts"
import {
  type Arrived,
  headerOf,
  headersOf,
  mailServer,
  type Outcome,
  silentServer,
} from "../../../runtime/test/harness/mailServer.ts"

let last = 0
const next = () => ++last

const addressOf = (user_id: number) => `ada.${user_id}@example.org`

/** Publishes a user, and returns the id of the event. */
const signUp = (user_id: number, given: { readonly email?: string; readonly name?: string } = {}) =>
  Effect.flatMap(Scenario, ({ publish }) =>
    publish(UserCreated, { user_id, email: addressOf(user_id), name: "Ada Lovelace", ...given }),
  )

const ofUser = (user_id: number) =>
  Effect.flatMap(Scenario, ({ get }) =>
    Effect.map(get(`/notifications?user_id=${user_id}&limit=200`), ({ body }) => body.items as ReadonlyArray<any>),
  )

const sentTo = (user_id: number) =>
  Effect.flatMap(Scenario, ({ published }) =>
    Effect.map(published(NotificationSent), (events) => events.filter(({ data }) => data.user_id === user_id)),
  )

/** The one notification of a user, once it has that status. */
const only = (user_id: number, status: string) =>
  eventually(
    Effect.gen(function* () {
      const items = yield* ofUser(user_id)
      expect(items).toMatchObject([{ status }])
      return items[0]!
    }),
  )

/** How many notifications are still to be sent. */
const tasksLeft = Effect.gen(function* () {
  const { database } = yield* Scenario
  const [row] = yield* Effect.orDie(
    database("notification")<{ count: number }>`select count(*)::int as count from task`,
  )
  return row!.count
})

const partOf = ({ raw }: Arrived, type: string) => {
  const part = raw.split(/\r\n--\S+\r\n/u).find((part) => part.toLowerCase().startsWith(`content-type: ${type}`))!
  return part.slice(part.indexOf("\r\n\r\n") + 4).replace(/=\r\n/gu, "")
}

const server = await mailServer()
const silent = await silentServer()
afterAll(server.stop)

const settings = { SMTP_URL: server.url, MAIL_FROM: "Galleria <no-reply@galleria.example>" }

const onBoth = await onEveryDatabase([notification], settings)
onBoth("mails by SMTP", (it) => {
  it.effect("have text, HTML and the headers of an automatic message", () =>
    Effect.gen(function* () {
      const user_id = next()
      const event_id = yield* signUp(user_id, { name: `Tom "T" <script> & Jerry` })
      const item = yield* only(user_id, "sent")
      expect(item).toMatchObject({ channel: "email", kind: "welcome", order_id: null })
      const [mail, ...more] = server.to(addressOf(user_id))
      expect(more).toEqual([])
      expect(headerOf(mail!, "message-id")).toBe(`<${event_id}@galleria>`)
      expect(headerOf(mail!, "from")).toBe("Galleria <no-reply@galleria.example>")
      expect(headerOf(mail!, "to")).toBe(`"Tom \\"T\\" <script> & Jerry" <${addressOf(user_id)}>`)
      expect(headerOf(mail!, "subject")).toBe(item.subject)
      expect(headerOf(mail!, "auto-submitted")).toBe("auto-generated")
      expect(partOf(mail!, "text/plain")).toContain(`Hello Tom "T" <script> & Jerry,`)
      expect(partOf(mail!, "text/html")).toContain("Hello Tom &quot;T&quot; &lt;script&gt; &amp; Jerry,")
      expect(partOf(mail!, "text/html")).not.toContain("<script>")
      yield* eventually(
        Effect.map(sentTo(user_id), (published) =>
          expect(published.map(({ data }) => data)).toEqual([
            { notification_id: item.id, user_id, channel: "email", kind: "welcome" },
          ]),
        ),
      )
    }),
  )

  it.effect("have no header injected by a user's name", () =>
    Effect.gen(function* () {
      const { publish } = yield* Scenario
      const user_id = next()
      const attack = "Eve\r\nBcc: mallory@example.org\r\n\r\nX-Attack: yes\u0000\u0085"
      yield* signUp(user_id, { name: attack })
      yield* publish(OrderCancelled, { order_id: user_id, user_id, amount: "5.00", reason: attack })
      const mails = yield* eventually(
        Effect.sync(() => {
          expect(server.to(addressOf(user_id))).toHaveLength(2)
          return server.to(addressOf(user_id))
        }),
      )
      for (const mail of mails) {
        expect(headersOf(mail).filter((line) => /^(?:bcc|x-attack)/iu.test(line))).toEqual([])
        expect(headerOf(mail, "to")).toBe(`"Eve Bcc: mallory@example.org X-Attack: yes" <${addressOf(user_id)}>`)
      }
      expect(server.to("mallory@example.org")).toEqual([])
    }),
  )

  const refusals: ReadonlyArray<readonly [string, Outcome]> = [
    ["the recipient is refused", { code: 550, at: "RCPT" }],
    ["the message is refused", { code: 554, at: "DATA" }],
  ]
  it.effect.each(refusals)("fail for good, with the reason, when %s", ([, outcome]) =>
    Effect.gen(function* () {
      const { get } = yield* Scenario
      const user_id = next()
      server.plan(addressOf(user_id), outcome)
      yield* signUp(user_id)
      const { reason } = yield* only(user_id, "failed")
      expect(reason).toContain(String((outcome as { code: number }).code))
      expect(reason).toContain("is not served")
      // A server's reply repeats the address; the reason does not.
      expect(reason).not.toContain(addressOf(user_id))
      expect(yield* tasksLeft).toBe(0)
      expect(server.to(addressOf(user_id))).toHaveLength(1)
      expect(yield* sentTo(user_id)).toEqual([])
      expect((yield* get("/readyz")).body).toMatchObject({ state: "ready", checks: { mail: "ok" } })
    }),
  )

  it.effect.each(["no address", "ada@localhost\r\nRCPT TO:<eve@example.org>", "", "a@b, c@d"])(
    "fail for good when there is nothing to send them to: %j",
    (email) =>
      Effect.gen(function* () {
        const user_id = next()
        yield* signUp(user_id, { email })
        expect((yield* only(user_id, "failed")).reason).toBe("not an e-mail address")
      }),
  )

  const delays: ReadonlyArray<readonly [string, Outcome]> = [
    ["the recipient is refused for now", { code: 451, at: "RCPT" }],
    ["the message is refused for now", { code: 452, at: "DATA" }],
    ["the connection is dropped after the message", "dropped"],
  ]
  it.effect.each(delays)("are sent again, under the same Message-ID, when %s", ([, outcome]) =>
    Effect.gen(function* () {
      const user_id = next()
      server.plan(addressOf(user_id), outcome)
      const event_id = yield* signUp(user_id)
      yield* only(user_id, "sent")
      const mails = server.to(addressOf(user_id))
      expect(mails.map((mail) => mail.outcome)).toEqual([outcome, "taken"])
      for (const mail of mails) if (mail.raw !== "") expect(headerOf(mail, "message-id")).toBe(`<${event_id}@galleria>`)
      yield* eventually(Effect.map(sentTo(user_id), (published) => expect(published).toHaveLength(1)))
    }),
  )

  it.effect("wait while the server is unavailable, which /readyz reports, and are sent when it is back", () =>
    Effect.gen(function* () {
      const { get, publishAll, settled } = yield* Scenario
      const users = Array.from({ length: 20 }, next)
      yield* Effect.promise(server.stop)
      yield* publishAll(
        UserCreated,
        users.map((user_id) => ({ user_id, email: addressOf(user_id), name: "Ada Lovelace" })),
      )
      yield* settled
      yield* eventually(
        Effect.map(get("/readyz"), ({ status, body }) =>
          expect({ status, ...body }).toMatchObject({
            status: 200,
            state: "degraded",
            checks: { mail: expect.stringContaining("the mail server takes no mail") },
          }),
        ),
      )
      for (const user_id of users) expect(yield* ofUser(user_id)).toMatchObject([{ status: "pending" }])
      yield* Effect.promise(server.start)
      for (const user_id of users) {
        yield* only(user_id, "sent")
        expect(server.to(addressOf(user_id))).toHaveLength(1)
      }
      expect((yield* get("/readyz")).body).toMatchObject({ state: "ready", checks: { mail: "ok" } })
    }),
  )
})

layer(scenario([notification], { ...settings, SMTP_URL: `smtp://localhost:${server.port}` }), {
  excludeTestServices: true,
})("a mail server that was replaced", (it) => {
  it.effect("is found at its new address, although the old one was cached", () =>
    Effect.gen(function* () {
      // An address of this machine where nothing listens.
      dnsCache.set("localhost", { value: { addresses: ["127.0.0.2"] }, expires: Date.now() + 300_000 })
      const user_id = next()
      yield* signUp(user_id)
      yield* only(user_id, "sent")
      expect(server.to(addressOf(user_id))).toHaveLength(1)
    }),
  )
})

layer(scenario([notification], { ...settings, SMTP_URL: silent.url }), { excludeTestServices: true })(
  "a mail server that never answers",
  (it) => {
    describe("while mails wait for it", () => {
      it.effect("does not delay the module's reactions", () =>
        Effect.gen(function* () {
          const { publishAll, settled, get, database } = yield* Scenario
          const users = Array.from({ length: 300 }, next)
          yield* publishAll(
            UserCreated,
            users.map((user_id) => ({ user_id, email: addressOf(user_id), name: "Ada Lovelace" })),
          )
          for (const event of [OrderCreated, OrderProcessed]) {
            yield* publishAll(
              event,
              users.map((user_id) => ({ order_id: user_id, user_id, amount: "5.00" })),
            )
          }
          yield* settled
          const { body } = yield* get("/notifications?limit=200")
          expect(body.items).toHaveLength(200)
          expect(body.items).toEqual(expect.arrayContaining([expect.objectContaining({ status: "pending" })]))
          expect(yield* ofUser(users.at(-1)!)).toHaveLength(3)
          // Each try takes 5 s: the module has taken charge of all events before most mails were tried at all.
          const tried = yield* Effect.orDie(database("notification")`select 1 from task where attempts > 0`)
          expect(tried.length).toBeLessThan(450)
          expect((yield* get("/livez")).status).toBe(200)
        }),
      )

      it.effect("is reported in /readyz", () =>
        Effect.gen(function* () {
          const { get } = yield* Scenario
          yield* eventually(
            Effect.map(get("/readyz"), ({ body }) =>
              expect(body).toMatchObject({
                state: "degraded",
                checks: { mail: expect.stringMatching(/greeting|time/iu) },
              }),
            ),
          )
          silent.stop()
        }),
      )
    })
  },
)
