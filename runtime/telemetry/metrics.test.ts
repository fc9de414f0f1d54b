import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { OrderCreated } from "../../modules/order/contract/events.ts"
import { modules } from "../modules.ts"
import { eventually, Scenario, scenario } from "../test/harness/scenario.ts"
import { turnedAway } from "./http.ts"

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

interface Family {
  readonly type: string
  readonly help: string | undefined
  readonly samples: Array<Sample>
}

const sampleShape = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (NaN|[+-]Inf|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/u
const labelShape = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)/uy

const labelsIn = (text: string): Record<string, string> => {
  const labels: Record<string, string> = {}
  labelShape.lastIndex = 0
  while (labelShape.lastIndex < text.length) {
    const [, name, value] = labelShape.exec(text) ?? expect.fail(`not labels: ${text}`)
    expect(labels).not.toHaveProperty(name!)
    labels[name!] = value!
  }
  return labels
}

/** Reads the text format of Prometheus, version 0.0.4, and fails where it is not that. */
const parse = (text: string): ReadonlyMap<string, Family> => {
  expect(text.endsWith("\n")).toBe(true)
  const families = new Map<string, Family>()
  let help: string | undefined
  let family: Family | undefined
  let current = ""
  for (const line of text.trimEnd().split("\n")) {
    const [, what, name, rest] = /^# (HELP|TYPE) (\S+) (.+)$/u.exec(line) ?? []
    if (what === "HELP") help = rest
    else if (what === "TYPE") {
      expect(families.has(name!), `${name} occurs twice`).toBe(false)
      expect(["counter", "gauge", "histogram"]).toContain(rest)
      family = { type: rest!, help, samples: [] }
      families.set((current = name!), family)
      help = undefined
    } else {
      const [, name, labels = "", value] = sampleShape.exec(line) ?? expect.fail(`not a sample: ${line}`)
      const suffixes = family?.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""]
      expect(suffixes.map((suffix) => `${current}${suffix}`)).toContain(name)
      family!.samples.push({ name: name!, labels: labelsIn(labels), value: Number(value!.replace("Inf", "Infinity")) })
    }
  }
  return families
}

/** The names of the contract, with their types and labels. */
const promised: Readonly<Record<string, readonly [type: string, ...labels: ReadonlyArray<string>]>> = {
  galleria_outbox_pending: ["gauge", "module"],
  galleria_outbox_oldest_age_seconds: ["gauge", "module"],
  galleria_outbox_published_total: ["counter", "module"],
  galleria_consumer_lag: ["gauge", "module", "partition", "topic"],
  galleria_events_applied_total: ["counter", "module", "reaction"],
  galleria_inbox_duplicates_total: ["counter", "module"],
  galleria_reaction_seconds: ["histogram", "module", "reaction"],
  galleria_dead_letters: ["gauge", "module", "status"],
  galleria_tasks: ["gauge", "module", "state", "task"],
  galleria_records_skipped_total: ["counter", "module", "topic"],
  galleria_circuit_state: ["gauge", "circuit", "module"],
  http_server_request_duration_seconds: ["histogram", "http_request_method", "http_response_status_code", "http_route"],
}

layer(scenario(Object.values(modules), { ORDER_STEPS: "none", USER_WAIT_MS: "60000" }), { excludeTestServices: true })(
  "GET /metrics",
  (it) => {
    const read = Effect.gen(function* () {
      const { url } = yield* Scenario
      const response = yield* Effect.promise(() => fetch(`${url}/metrics`))
      expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8")
      return parse(yield* Effect.promise(() => response.text()))
    })
    const answersOf = (families: ReadonlyMap<string, Family>) =>
      families
        .get("http_server_request_duration_seconds")!
        .samples.filter(({ name }) => name.endsWith("_count"))
        .map(({ labels: { http_request_method, http_route, http_response_status_code } }) =>
          [http_request_method, http_route, http_response_status_code].join(" "),
        )

    it.effect("has every promised name, with its type, a help text and its labels", () =>
      Effect.gen(function* () {
        const { post, publish, put, settled } = yield* Scenario
        yield* post("/users", { email: "ada@example.org", name: "Ada" })
        yield* post("/orders", { user_id: 1, amount: "1" })
        yield* put({ topic: "order_created", key: "1" })
        const created_at = "2026-01-01T00:00:00Z"
        const order = { order_id: 77, user_id: 1, amount: "1.00", items: [], payment_method: "card_ok", created_at }
        const id = yield* publish(OrderCreated, order)
        yield* publish(OrderCreated, order, id)
        yield* settled
        const { database } = yield* Scenario
        yield* database("user")`
          insert into task (name, id, due, holder, reason, created_at)
          select name, row_number() over ()::text, due::timestamptz, holder, reason, due::timestamptz
          from (values
            ('user.charge', '2020-01-01', null, null), ('user.charge', '2020-01-01', 'expired', null),
            ('user.charge', '2120-01-01', null, null), ('user.charge', '2120-01-01', 'called', 'unknown'),
            ('user.mail', '2120-01-01', null, 'failed'), ('user.mail', '2120-01-01', null, 'not-made'))
            as x (name, due, holder, reason)`.pipe(Effect.orDie)
        const families = yield* read
        for (const [name, [type, ...labels]] of Object.entries(promised)) {
          const family = families.get(name)
          expect(family, name).toMatchObject({ type, help: expect.any(String) })
          for (const sample of family!.samples) {
            const known = Object.keys(sample.labels).filter((label) => label !== "le")
            expect(known.toSorted(), name).toEqual(labels)
          }
        }
      }),
    )

    it.effect("counts events and records", () =>
      Effect.gen(function* () {
        const { settled } = yield* Scenario
        yield* settled
        const families = yield* read
        const valueOf = (name: string, labels: Record<string, string>) =>
          families.get(name)!.samples.find((sample) => JSON.stringify(sample.labels) === JSON.stringify(labels))?.value
        expect(valueOf("galleria_outbox_published_total", { module: "user" })).toBeGreaterThanOrEqual(1)
        expect(valueOf("galleria_records_skipped_total", { module: "user", topic: "order_created" })).toBe(1)
        expect(valueOf("galleria_inbox_duplicates_total", { module: "user" })).toBe(1)
        expect(
          valueOf("galleria_events_applied_total", { module: "user", reaction: "user.record-order" }),
        ).toBeGreaterThanOrEqual(1)
        expect(valueOf("galleria_outbox_pending", { module: "order" })).toBe(0)
        const tasksOf = (task: string) =>
          ["waiting", "due", "called", "failing"].map((state) =>
            valueOf("galleria_tasks", { module: "user", task, state }),
          )
        expect(tasksOf("user.charge")).toEqual([1, 2, 1, 0])
        expect(tasksOf("user.mail")).toEqual([0, 0, 0, 2])
        const { database } = yield* Scenario
        yield* Effect.orDie(database("user")`delete from task where name = 'user.mail'`)
        expect((yield* read).get("galleria_tasks")!.samples.filter(({ value }) => value > 0)).toHaveLength(3)
      }),
    )

    it.effect("has requests by method, route and status, with all unknown addresses as one", () =>
      Effect.gen(function* () {
        const { request, get, post } = yield* Scenario
        for (const id of ["1", "999", "jane@example.org", "%0aevil%22"]) yield* get(`/users/${id}`)
        yield* get("/users/1/orders?limit=1")
        yield* get("/users/")
        for (const path of ["/nowhere", "/no/where", "/%22%0d%0a", "/users/1/2/3/4"]) yield* get(path)
        yield* post("/orders", { user_id: 1, amount: "0" })
        yield* request("DELETE", "/orders/1")
        yield* request("PROPFIND", "/orders/1")
        const answers = answersOf(yield* read)
        expect(answers).toEqual(
          expect.arrayContaining([
            "GET /users/{id} 200",
            "GET /users/{id} 404",
            "GET /users/{id}/orders 200",
            "GET /users 200",
            "GET unmatched 404",
            "POST /users 201",
            "POST /orders 422",
            "DELETE /orders/{id} 405",
            "_OTHER /orders/{id} 405",
          ]),
        )
        expect(answers.filter((answer) => /jane|evil|where|999/u.test(answer))).toEqual([])
        expect(new Set(answers).size).toBe(answers.length)
      }),
    )

    it.effect("counts requests that were rejected", () =>
      Effect.gen(function* () {
        yield* turnedAway(3)
        const { samples } = (yield* read).get("http_server_request_duration_seconds")!
        expect(samples).toContainEqual({
          name: "http_server_request_duration_seconds_count",
          labels: { http_request_method: "_OTHER", http_route: "unmatched", http_response_status_code: "503" },
          value: 3,
        })
      }),
    )

    it.effect("has histograms whose buckets add up", () =>
      Effect.gen(function* () {
        const families = yield* read
        const histograms = [...families].filter(([, { type }]) => type === "histogram")
        expect(histograms.length).toBeGreaterThan(1)
        for (const [name, { samples }] of histograms) {
          const series = Map.groupBy(samples, ({ labels }) => JSON.stringify({ ...labels, le: undefined }))
          for (const one of series.values()) {
            const buckets = one.filter((sample) => sample.name === `${name}_bucket`)
            const bounds = buckets.map(({ labels }) => Number(labels["le"]!.replace("Inf", "Infinity")))
            expect(bounds).toEqual(bounds.toSorted((a, b) => a - b))
            expect(bounds.at(-1)).toBe(Infinity)
            const counts = buckets.map(({ value }) => value)
            expect(counts).toEqual(counts.toSorted((a, b) => a - b))
            expect(counts.at(-1)).toBe(one.find((sample) => sample.name === `${name}_count`)?.value)
          }
        }
      }),
    )

    it.effect("counts a request whose client left before its answer", () =>
      Effect.gen(function* () {
        const { url } = yield* Scenario
        const body = JSON.stringify({ user_id: 4_711, amount: "1" })
        const headers = { "content-type": "application/json" }
        // On a busy machine a client may have left before its request is read.
        const leaves = Effect.promise(() =>
          fetch(`${url}/orders`, { method: "POST", headers, body, signal: AbortSignal.timeout(300) }).catch(() => {}),
        )
        yield* eventually(
          Effect.map(Effect.andThen(leaves, read), (families) =>
            expect(answersOf(families)).toContain("POST /orders 499"),
          ),
        )
      }),
    )
  },
)
