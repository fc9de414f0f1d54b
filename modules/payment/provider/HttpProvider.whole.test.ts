import { afterAll, describe, expect, it } from "@effect/vitest"
import { BigDecimal, Config, ConfigProvider, Context, Effect, Layer, Option, Redacted, Result } from "effect"
import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { NotMade } from "../../../runtime/module/Task.ts"
import { freePort } from "../../../runtime/test/harness/freePort.ts"
import { onEveryDatabase, Scenario, eventually } from "../../../runtime/test/harness/scenario.ts"
import { OrderCancelled, OrderCreated } from "../../order/contract/events.ts"
import { PaymentRefunded } from "../contract/events.ts"
import { payment } from "../module.ts"
import { NoAnswer, PaymentProvider } from "../PaymentProvider.ts"
import * as HttpProvider from "./HttpProvider.ts"
import { settings } from "../settings.ts"

interface Request {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage["headers"]
  readonly body: any
}

type Behaviour = (request: Request, response: ServerResponse) => void

/** A local provider with configurable behaviour, which records its requests. */
const startStub = async (behave: Behaviour) => {
  const stub = { behave, requests: [] as Array<Request>, url: "" }
  const server = createServer((incoming, response) => {
    const chunks: Array<Buffer> = []
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
    incoming.on("end", () => {
      const text = Buffer.concat(chunks).toString()
      const { method = "", url = "", headers } = incoming
      const request = { method, url, headers, body: text === "" ? undefined : JSON.parse(text) }
      stub.requests.push(request)
      stub.behave(request, response)
    })
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  stub.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  afterAll(() => {
    server.close()
    server.closeAllConnections()
  })
  return stub
}

const answer =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Behaviour =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers })
    response.end(typeof body === "string" ? body : JSON.stringify(body))
  }

const amount = BigDecimal.fromStringUnsafe("100.50")
const key = "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42"
const charge = { key, order_id: 7, amount, payment_method: "card_ok" }
const refund = { key: `${key}-refund`, charge_key: key, amount }
const charged = { status: "charged", key, amount: "100.50" }
const refunded = { status: "refunded", key: refund.key, amount: "100.50" }
const none = { status: "none", key }

const stub = await startStub(() => {})

describe("HttpProvider", () => {
  /** Asks a provider that behaves like this, and says what it was asked and what came of it. */
  const asked = <A, E>(
    behave: Behaviour,
    ask: (provider: PaymentProvider["Service"]) => Effect.Effect<A, E>,
    urlOf: (url: string) => string = (url) => `${url}/v1/`,
  ) =>
    Effect.gen(function* () {
      stub.behave = behave
      stub.requests.length = 0
      const url = Redacted.make(urlOf(stub.url))
      const provider = Context.get(yield* Layer.build(HttpProvider.layer(url)), PaymentProvider)
      const result = yield* Effect.result(ask(provider))
      return { result, requests: [...stub.requests], value: Result.getOrUndefined(result) }
    })
  const failureOf = (result: Result.Result<unknown, unknown>) => Result.getOrUndefined(Result.flip(result))

  it.live("charges, looks up and refunds with the calls documented in README", () =>
    Effect.gen(function* () {
      const one = yield* asked(answer(200, charged), ({ charge: ask }) => ask(charge))
      expect(one.value).toEqual({ _tag: "Charged" })
      expect(one.requests).toMatchObject([
        {
          method: "POST",
          url: "/v1/charges",
          headers: { "idempotency-key": key, "content-type": "application/json", accept: "application/json" },
          body: { key, order_id: 7, amount: "100.50", payment_method: "card_ok" },
        },
      ])
      for (const trace of ["traceparent", "b3", "authorization"]) {
        expect(one.requests[0]!.headers).not.toHaveProperty(trace)
      }
      const two = yield* asked(answer(200, charged), ({ lookUp }) => lookUp(charge))
      expect(two.value).toEqual({ _tag: "Charged" })
      expect(two.requests).toMatchObject([{ method: "GET", url: `/v1/charges?key=${key}`, body: undefined }])
      const three = yield* asked(answer(201, refunded), ({ refund: ask }) => ask(refund))
      expect(Result.isSuccess(three.result)).toBe(true)
      expect(three.requests).toMatchObject([
        {
          method: "POST",
          url: "/v1/refunds",
          headers: { "idempotency-key": `${key}-refund` },
          body: { key: `${key}-refund`, charge_key: key, amount: "100.50" },
        },
      ])
    }),
  )

  it.live("finds no charge by 200 or 404 with the right body", () =>
    Effect.gen(function* () {
      for (const status of [200, 404]) {
        const { value } = yield* asked(answer(status, none), ({ lookUp }) => lookUp(charge))
        expect(value).toEqual({ _tag: "NoCharge" })
      }
      const { result } = yield* asked(answer(404, "<h1>Not found</h1>"), ({ lookUp }) => lookUp(charge))
      expect(failureOf(result)).toBeInstanceOf(NoAnswer)
    }),
  )

  it.live("sends user and password as a header, and encodes any key for headers", () =>
    Effect.gen(function* () {
      const odd = "ä/../1\r\nx: y"
      const { value, requests } = yield* asked(
        answer(200, { ...charged, key: odd }),
        ({ charge: ask }) => ask({ ...charge, key: odd }),
        (url) => url.replace("http://", "http://shop:p%40ss@"),
      )
      expect(value).toEqual({ _tag: "Charged" })
      expect(requests[0]!.headers.authorization).toBe(`Basic ${Buffer.from("shop:p@ss").toString("base64")}`)
      expect(requests[0]!.headers["idempotency-key"]).toBe(encodeURIComponent(odd))
      const looked = yield* asked(answer(200, { ...none, key: odd }), ({ lookUp }) => lookUp({ ...charge, key: odd }))
      expect(looked.value).toEqual({ _tag: "NoCharge" })
      expect(new URL(looked.requests[0]!.url, "http://x").searchParams.get("key")).toBe(odd)
    }),
  )

  it.live.each([
    [200, "card_declined", "card_declined"],
    [402, "  no\u0000 money\r\nSet-Cookie: x\u202e ", "no money Set-Cookie: x"],
    [402, "😀".repeat(2_000), "😀".repeat(500)],
    [402, " \u0007 ", "declined"],
  ] as const)("accepts %i as a decline, and cleans its reason", ([status, said, reason]) =>
    Effect.gen(function* () {
      const behave = answer(status, { status: "declined", key, reason: said })
      const { value } = yield* asked(behave, ({ charge: ask }) => ask(charge))
      expect(value).toEqual({ _tag: "Declined", reason })
    }),
  )

  const malformed: ReadonlyArray<readonly [string, Behaviour]> = [
    ["no JSON", answer(200, "charged")],
    ["nothing", answer(200, "")],
    ["another shape", answer(200, { ok: true })],
    ["a list", answer(200, [charged])],
    ["another key", answer(200, { ...charged, key: "other" })],
    ["another amount", answer(200, { ...charged, amount: "1.00" })],
    ["an amount that is none", answer(200, { ...charged, amount: "-100.50" })],
    ["a decline without a reason", answer(200, { status: "declined", key })],
    ["a charge by the status of a decline", answer(402, charged)],
    ["an error that says it is charged", answer(500, charged)],
    ["a status that is not expected", answer(202, charged)],
    ["a refusal to say", answer(401, { status: "declined", key, reason: "x" })],
    [
      "a redirect",
      (request, response) =>
        request.url === "/elsewhere"
          ? answer(200, charged)(request, response)
          : answer(307, "", { location: "/elsewhere" })(request, response),
    ],
    [
      "too much",
      (_, response) => {
        response.writeHead(200, { "content-type": "application/json" })
        response.end(JSON.stringify({ ...charged, padding: "x".repeat(64 * 1024) }))
      },
    ],
    [
      "more and more",
      (_, response) => {
        response.writeHead(200)
        const more = () => void (response.destroyed || (response.write(" ".repeat(65_536)), setImmediate(more)))
        more()
      },
    ],
    ["a connection that is cut", (_, response) => response.destroy()],
    [
      "half of it, and a cut",
      (_, response) => {
        response.writeHead(200, { "content-length": "500" })
        response.write('{"status":"charged"')
        setTimeout(() => response.destroy(), 10)
      },
    ],
    ["what is not HTTP", (_, response) => void response.socket?.end("charged\r\n\r\n")],
  ]

  it.live.each(malformed)("reports a charge as unknown when it is answered with %s", ([, behave]) =>
    Effect.gen(function* () {
      const { result } = yield* asked(behave, ({ charge: ask }) => ask(charge))
      expect(failureOf(result)).toBeInstanceOf(NoAnswer)
      expect((failureOf(result) as NoAnswer).message).not.toMatch(/charged|127\.0\.0\.1/u)
    }),
  )

  it.live("uses the first of two answers on one connection, and a new connection for the next request", () =>
    Effect.gen(function* () {
      const text = JSON.stringify(charged)
      const http = `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`
      const twice: Behaviour = (_, response) => void response.socket?.write(http + http)
      const { result } = yield* asked(twice, (provider) =>
        Effect.all([provider.charge(charge), Effect.result(provider.lookUp({ ...charge, key: "other" }))]),
      )
      const [first, second] = Result.getOrThrow(result)
      expect(first).toEqual({ _tag: "Charged" })
      expect(Result.isFailure(second)).toBe(true)
    }),
  )

  it.live("waits 3 s for a look-up, even while bytes arrive", () =>
    Effect.gen(function* () {
      const slowly: Behaviour = (_, response) => {
        response.writeHead(200)
        const timer = setInterval(() => response.write(" "), 200)
        response.on("close", () => clearInterval(timer))
      }
      const { result } = yield* asked(slowly, ({ lookUp }) => lookUp(charge))
      expect(failureOf(result)).toMatchObject({ reason: "the provider did not answer within 3 seconds" })
    }),
  )

  it.live("reports a call as not made when the connection is refused", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(() => freePort())
      for (const host of ["127.0.0.1", "localhost"]) {
        const { result } = yield* asked(
          answer(200, charged),
          ({ charge: ask }) => ask(charge),
          () => `http://${host}:${port}`,
        )
        expect(failureOf(result)).toBeInstanceOf(NotMade)
      }
    }),
  )
})

describe("the setting PAYMENT_PROVIDER_URL", () => {
  const read = (url: string) =>
    Effect.runSync(
      Effect.result(settings.PAYMENT_PROVIDER_URL.parse(ConfigProvider.fromUnknown({ PAYMENT_PROVIDER_URL: url }))),
    )

  it.each(["http://provider:8080", "https://shop:p%40ss@provider.example/v1/"])("may be %s, and is a secret", (url) => {
    const value = Option.getOrThrow(Result.getOrThrow(read(url)))
    expect(Redacted.value(value)).toBe(url)
    expect(JSON.stringify({ value })).not.toContain("provider")
  })

  it.each([
    "provider",
    "ftp://secret@provider/",
    "http://",
    "https://provider/?key=secret",
    "https://provider/#secret",
    "https://shop:100%secret@provider",
    "postgres://secret@provider",
  ])("is refused as %s, and not shown", (url) => {
    const failure = Result.getOrThrow(Result.flip(read(url)))
    expect(failure).toBeInstanceOf(Config.ConfigError)
    expect(failure.message).toMatch(/expected a URL|begins no %-encoding/u)
    expect(failure.message).not.toContain("secret")
  })
})

/** What the provider behind the module did: by key of the charge, its refunds. */
const ledger = new Map<string, Set<string>>()

/** A provider that works, but answers the first two calls with an error, and the first charge with nonsense. */
const working = (): Behaviour => {
  let calls = 0
  return (request, response) => {
    const { url, method, body } = request
    if (++calls <= 2) return answer(503, "try later")(request, response)
    const key: string = body?.key ?? new URL(url, "http://x").searchParams.get("key")
    if (url.startsWith("/refunds")) {
      ledger.get(body.charge_key)?.add(key)
      return answer(200, { status: "refunded", key, amount: body.amount })(request, response)
    }
    if (method === "GET") {
      const found = ledger.has(key) ? { status: "charged", key, amount: "5.00" } : { status: "none", key }
      return answer(200, found)(request, response)
    }
    if (body.payment_method !== "card_ok") {
      return answer(402, { status: "declined", key, reason: "no_credit" })(request, response)
    }
    const isFirst = ledger.size === 0
    if (!ledger.has(key)) ledger.set(key, new Set())
    return answer(201, isFirst ? "nonsense" : { status: "charged", key, amount: body.amount })(request, response)
  }
}

const shop = await startStub(working())
const onBoth = await onEveryDatabase([payment], { PAYMENT_PROVIDER_URL: shop.url })
onBoth("the module payment, with a provider behind HTTP", (it) => {
  it.effect("charges, is declined and refunds, each once", () =>
    Effect.gen(function* () {
      const { publish, published, get } = yield* Scenario
      ledger.clear()
      shop.requests.length = 0
      shop.behave = working()
      const created = (order_id: number, payment_method: string) =>
        publish(OrderCreated, { order_id, user_id: 1, amount: "5", payment_method, steps: ["payment"] })
      const key = yield* created(1, "card_ok")
      yield* created(2, "card_unheard_of")
      const statuses = Effect.map(get("/payments"), ({ body }) =>
        body.items.map((one: { order_id: number; status: string; reason?: string }) =>
          [one.order_id, one.status, one.reason].join(" "),
        ),
      )
      yield* eventually(Effect.map(statuses, (seen) => expect(seen).toEqual(["2 failed no_credit", "1 successful "])))
      yield* publish(OrderCancelled, { order_id: 1, user_id: 1, amount: "5.00" })
      yield* eventually(
        Effect.map(statuses, (seen) => expect(seen).toEqual(["2 failed no_credit", "1 refunded order_cancelled"])),
      )
      expect(ledger).toEqual(new Map([[key, new Set([`${key}-refund`])]]))
      yield* eventually(Effect.map(published(PaymentRefunded), (refunds) => expect(refunds).toHaveLength(1)))
      for (const { body } of shop.requests) if (body?.order_id === 1) expect(body.amount).toBe("5.00")
    }),
  )
})
