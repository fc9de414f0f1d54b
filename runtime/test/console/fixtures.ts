import type {
  ActionJson,
  CauseGroupJson,
  CauseGroupsJson,
  ConsoleSession,
  DeadLetterJson,
  FaultSwitchJson,
  JourneyEventJson,
  Listed,
  ListedOrder,
  LoggedEventsJson,
  OperationJson,
  OrderJourneyJson,
  OverviewJson,
  ReachedModuleJson,
  ReactionDeliveryJson,
} from "../../console/answers.ts"

/** Answers of `/admin` for a system that is calm, or in which much is stuck, by the path that asks for them. */

const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString()

const startedAt = ago(1_000)

/** Text that a foreigner can place into errors, data and headers. */
export const hostile =
  `<img src=x onerror="alert(1)"> <script>alert(2)</script> javascript:alert(3) \u202etxt.exe \u0000 ` + "x".repeat(300)

const declared: Readonly<Record<string, readonly [publishes: ReadonlyArray<string>, reacts: ReadonlyArray<string>]>> = {
  user: [
    ["user_created", "user_order_summary_updated"],
    ["order_created", "order_processed", "order_failed", "order_cancelled"],
  ],
  order: [
    ["order_created", "order_cancelled", "order_processed", "order_failed"],
    [
      "user_created",
      "order_created",
      "payment_successful",
      "payment_failed",
      "inventory_updated",
      "inventory_rejected",
    ],
  ],
  payment: [
    ["payment_successful", "payment_failed", "payment_refunded"],
    ["order_created", "inventory_updated", "inventory_rejected", "order_cancelled"],
  ],
  inventory: [
    ["inventory_updated", "inventory_rejected"],
    ["order_created", "payment_successful", "payment_failed", "payment_refunded", "order_cancelled"],
  ],
  notification: [["notification_sent"], ["user_created", "order_created", "payment_successful", "order_processed"]],
}

const reached = (module: string, change: Partial<ReachedModuleJson> = {}): ReachedModuleJson => {
  const [publishes, reacts] = declared[module]!
  return {
    module,
    state: "ready",
    release: "0.3.1",
    started_at: startedAt,
    publishes,
    reacts,
    checks: { events: "ok", [`database.${module}`]: "ok", [`consumer.${module}`]: "ok" },
    outbox: { pending: 0, oldest_age_seconds: 0 },
    consumers: reacts.map((topic) => ({ topic, lag: 0, applied_per_s: 2.3 })),
    dead_letters: { retrying: 0, parked: 0, waiting: 0 },
    rates: {
      published_per_s: 2.3,
      applied_per_s: 2.3,
      topics: publishes.map((topic) => ({ topic, published_per_s: 2.3 })),
    },
    ...change,
  }
}

const names = Object.keys(declared)

export const calm = (): OverviewJson => ({
  checked_at: ago(0),
  modules: names.map((name) => reached(name)),
  waits: [],
})

export const stuck = (): OverviewJson => ({
  checked_at: ago(0),
  modules: names.map((name) => {
    if (name === "inventory") return reached(name, { dead_letters: { retrying: 0, parked: 38, waiting: 112 } })
    if (name === "user") return reached(name, { dead_letters: { retrying: 3, parked: 0, waiting: 2 } })
    return reached(name)
  }),
  waits: [
    {
      kind: "charge",
      module: "payment",
      count: 3,
      capped: false,
      oldest_at: ago(125),
      why: "the provider's circuit is open",
      sample: ["4711", "4712"],
    },
  ],
})

export const unreachable = (): OverviewJson => ({
  ...stuck(),
  modules: stuck().modules.map((module) =>
    module.module === "payment"
      ? { module: "payment", state: "unreachable", since: ago(130), why: "no answer within 1 s" }
      : module,
  ),
})

export const group: CauseGroupJson = {
  cause: "c1",
  module: "inventory",
  reaction: "inventory.hold-order",
  type: "order_created",
  status: "parked",
  reason: "failed",
  error: `no shelf for kind "bulky"`,
  count: 38,
  capped: false,
  keys: 12,
  waiting: 112,
  first_failed_at: ago(996),
  last_failed_at: ago(2),
}

export const groups = (items: ReadonlyArray<CauseGroupJson>): CauseGroupsJson => ({
  checked_at: ago(0),
  items: [...items],
  more: 0,
})

export const stuckGroups: ReadonlyArray<CauseGroupJson> = [
  group,
  {
    ...group,
    cause: "c2",
    module: "user",
    reaction: "user.record-order",
    status: "retrying",
    error: "the projection is locked",
    count: 3,
    waiting: 2,
    first_failed_at: ago(40),
  },
]

/** Forty causes with 100,000 dead letters. */
export const manyGroups = Array.from({ length: 40 }, (_, n) => ({
  ...group,
  cause: `cause ${n}`,
  error: `cause ${n}: ${group.error}`,
  count: 2_500,
}))

export const letterId = "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42"

export const letter = (change: Partial<DeadLetterJson> = {}): DeadLetterJson => ({
  id: letterId,
  module: "inventory",
  reaction: "inventory.hold-order",
  status: "parked",
  attempts: 10,
  reason: "failed",
  error: `no shelf for kind "bulky"`,
  event: {
    id: "019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968",
    type: "order_created",
    source: "/galleria/order",
    time: ago(1_000),
    key: "7",
    data: { order_id: 4711, user_id: 7, amount: "100.50" },
    headers: { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
  },
  topic: "order_created",
  partition: 2,
  offset: 1807,
  waiting: 3,
  first_failed_at: ago(996),
  last_failed_at: ago(502),
  next_attempt_at: null,
  redriven_at: null,
  order_id: 4711,
  cause: "c1",
  raw: `{"order_id":4711,"user_id":7,"amount":"100.50","big":12345678901234567890,"payment_method":{"hidden":"payment token, 7 characters"}}`,
  attempt_log: Array.from({ length: 10 }, (_, n) => ({
    at: ago(996 - n * 50),
    error: `no shelf for kind "bulky"`,
    took_ms: 3,
  })),
  ...change,
})

const began = Date.now() - 700_000
const at = (millis: number) => new Date(began + millis).toISOString()

const delivery = (
  reaction: string,
  status: ReactionDeliveryJson["status"],
  millis: number | null,
): ReactionDeliveryJson => ({
  module: reaction.split(".")[0]!,
  reaction,
  status,
  at: millis === null ? null : at(millis),
  attempts: status === "parked" ? 10 : 1,
  ...(status === "parked" || status === "redriven" ? { dead_letter_id: letterId } : {}),
})

const logged = (
  module: string,
  type: string,
  millis: number,
  deliveries: ReadonlyArray<ReactionDeliveryJson>,
): JourneyEventJson => ({
  module,
  topic: type,
  partition: 2,
  offset: 1_800 + Math.round(millis / 1_000),
  time: at(millis),
  event: {
    id: `019b7f4e-5c3a-7d21-9b1e-${String(millis).padStart(12, "0")}`,
    source: `/galleria/${module}`,
    type,
    subject: "4711",
    key: "7",
    data: { order_id: 4711, user_id: 7, amount: "100.50" },
  },
  deliveries,
})

export const journey = (isDone: boolean): OrderJourneyJson => ({
  order_id: 4711,
  user_id: 7,
  trace_ids: ["4bf92f3577b34da6a3ce929d0e0e4736"],
  order: { status: isDone ? "processed" : "created", amount: "100.50", created_at: at(0) },
  events: [
    logged("order", "order_created", 0, [
      delivery("user.record-order", "applied", 21),
      delivery("order.process-at-once", "applied", 22),
      delivery("payment.open", "applied", 23),
      isDone
        ? delivery("inventory.hold-order", "redriven", 494_000)
        : delivery("inventory.hold-order", "parked", 494_000),
      delivery("notification.tell-order", "applied", 24),
    ]),
    ...(isDone
      ? [
          logged("inventory", "inventory_updated", 494_010, [
            delivery("order.note-stock", "applied", 494_031),
            delivery("payment.charge", "applied", 494_033),
          ]),
          logged("payment", "payment_successful", 494_300, [
            delivery("order.note-payment", "applied", 494_320),
            delivery("inventory.take", "applied", 494_322),
            delivery("notification.tell-paid", "applied", 494_325),
          ]),
          logged("order", "order_processed", 494_340, [
            delivery("user.record-processed", "applied", 494_361),
            delivery("notification.tell-processed", "applied", 494_362),
          ]),
        ]
      : []),
  ],
  unsent: [],
  steps: [
    { module: "notification", kind: "mail", at: at(271), state: "sent", attempts: 0 },
    ...(isDone
      ? ([
          { module: "inventory", kind: "hold", at: at(494_005), until: at(1_394_001), state: "taken", attempts: 0 },
          { module: "payment", kind: "charge", at: at(494_290), state: "successful", attempts: 1 },
        ] as const)
      : ([
          {
            module: "payment",
            kind: "charge",
            at: at(300),
            state: "waiting",
            attempts: 0,
            why: "the hold on its stock has not come",
          },
        ] as const)),
  ],
  gaps: [],
})

export const events: LoggedEventsJson = {
  items: journey(true).events.map(({ topic, partition, offset, time, event }) => ({
    topic,
    partition: partition!,
    offset: offset!,
    time,
    event: { ...event, source: event.source!, time, headers: {} },
  })),
  next_cursor: "further",
  scanned_to: at(0),
}

export const operation = (counts: Partial<OperationJson["counts"]>): OperationJson => ({
  id: "019b7f4e-5c3a-7d21-9b1e-000000000001",
  action: "redrive",
  started_at: ago(1),
  actor: "ops",
  counts: { applied: 0, waiting: 0, retrying: 0, parked: 0, discarded: 0, ...counts },
})

const actions: Listed<ActionJson> = {
  items: [
    {
      id: "019b7f4e-5c3a-7d21-9b1e-000000000002",
      at: ago(100),
      actor: "ops",
      action: "redrive",
      target: "38 dead letters",
      details: { reaction: "inventory.hold-order" },
    },
  ],
  next_cursor: null,
}

const faults = (on: ReadonlyArray<string>): { readonly items: ReadonlyArray<FaultSwitchJson> } => ({
  items: ["relay.order", "reaction.inventory.hold-order", "provider", "mail", "events"].map((name) => ({
    name,
    enabled: on.includes(name),
    since: on.includes(name) ? ago(160) : null,
  })),
})

const orders: Listed<ListedOrder> = {
  items: ["created", "processed", "failed", "paid", "cancelled"].map((status, n) => ({
    id: 4715 - n,
    user_id: 7,
    amount: "100.50",
    status,
    created_at: ago(3 + n * 100),
  })),
  next_cursor: null,
}

const session: ConsoleSession = { signed_in: true, name: "ops", features: ["faults", "try"] }

/** An answer, or a function of the request's body that makes it; by the path, without its query. */
export type Answers = Readonly<Record<string, unknown>>

export const answers = (overview: () => OverviewJson, items: ReadonlyArray<CauseGroupJson> = []): Answers => ({
  "/console/session": session,
  "/admin/overview": overview,
  "/admin/dead-letters/groups": () => groups(items),
  "/admin/dead-letters": {
    items: Array.from({ length: 8 }, (_, n) => letter({ id: letterId.slice(0, -1) + n })),
    next_cursor: null,
  },
  [`/admin/dead-letters/${letterId}`]: () => letter(),
  "/admin/journeys/4711": () => journey(items.length === 0),
  "/admin/events": events,
  "/admin/actions": actions,
  "/admin/faults": () => faults(items.length === 0 ? [] : ["provider"]),
  "/console/api/orders": orders,
  "/console/api/inventory": {
    items: [
      { product_id: "LAPTOP001", product_name: "Gaming Laptop", stock: 50, reserved: 0, available: 50 },
      { product_id: "MOUSE001", product_name: "Wireless Mouse", stock: 200, reserved: 4, available: 196 },
    ],
    next_cursor: null,
  },
})

/** The views, by the names of their pictures. */
export const views: Readonly<Record<string, string>> = {
  overview: "/console",
  journey: "/console/orders/4711",
  orders: "/console/orders",
  "dead-letters": "/console/dead-letters",
  "dead-letters-list": "/console/dead-letters?by=one",
  "dead-letter": `/console/dead-letters/${letterId}`,
  events: "/console/events",
  actions: "/console/actions",
  try: "/console/try",
}
