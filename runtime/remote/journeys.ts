import { Effect, Schema } from "effect"
import { hiddenIn } from "../admin/journey/hidden.ts"
import { findJourney, type JourneySource } from "../admin/journey/journey.ts"
import { FoundDelivery, JourneyPart, OnLog } from "../admin/journey/JourneyPart.ts"
import { OrderJourney } from "../admin/journey/OrderJourney.ts"
import type { Contracts } from "../admin/personal.ts"
import { Kinds, responseOf } from "../http/Problem.ts"
import { type RemoteCalls, json, passOn, pathOf, queryOf, type Reply } from "./calls.ts"
import { type RemoteCall, type RemoteProcess, Unreachable } from "./processes.ts"

const Parts = Schema.fromJsonString(Schema.Struct({ items: Schema.Array(JourneyPart) }))
const Deliveries = Schema.fromJsonString(Schema.Struct({ items: Schema.Array(FoundDelivery) }))
const Log = Schema.fromJsonString(OnLog)

/** Asks a process for a part of a journey. */
const askFor = (calls: RemoteCalls, process: RemoteProcess, path: string, body?: unknown) =>
  Effect.gen(function* () {
    const call: RemoteCall =
      body === undefined
        ? { method: "GET", path }
        : { method: "POST", path, headers: { "content-type": "application/json" }, body: JSON.stringify(body) }
    const { status, text } = yield* calls.one(process, call)
    return status === 200 ? text : yield* new Unreachable({ why: `it answered ${status}` })
  })

const sourcesOf = (calls: RemoteCalls, process: RemoteProcess, path: string) =>
  Effect.gen(function* () {
    const parts = yield* Effect.cached(
      Effect.flatMap(askFor(calls, process, `${path}/parts`), Schema.decodeUnknownEffect(Parts)),
    )
    return process.modules.map((module): JourneySource => ({
      module,
      part: () =>
        Effect.flatMap(parts, ({ items }) => {
          const own = items.find((part) => part.module === module)
          return own === undefined ? new Unreachable({ why: `${module} does not run there` }) : Effect.succeed(own)
        }),
      deliveries: (_, events) =>
        askFor(calls, process, `${path}/deliveries`, { events }).pipe(
          Effect.flatMap(Schema.decodeUnknownEffect(Deliveries)),
          Effect.map(({ items }) => items.filter((delivery) => delivery.module === module)),
        ),
    }))
  })

/** The journey of an order over all processes; the process of the module `order` reads the event log. */
export const journeyOver =
  (calls: RemoteCalls, contracts: Contracts) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const path = pathOf(call).replace(/\/$/u, "")
      const order_id = Number(path.split("/").at(-1))
      const personal = queryOf(call).get("personal")
      const [logging = calls.processes[0]] = calls.of("order")
      if (logging === undefined || !/\/[1-9]\d{0,15}$/u.test(path) || !Number.isSafeInteger(order_id)) {
        return responseOf(Kinds.notFound)
      }
      const sources = (yield* Effect.forEach(calls.processes, (process) => sourcesOf(calls, process, path))).flat()
      const found = yield* findJourney(sources, order_id, (asked) =>
        Effect.flatMap(askFor(calls, logging, `${path}/log`, asked), Schema.decodeUnknownEffect(Log)),
      )
      // Any process says what is wrong with the call, or that there is no such order.
      if (found === undefined || (personal !== null && personal !== "hide")) {
        return passOn(yield* calls.one(logging, call))
      }
      const shown = personal === "hide" ? hiddenIn(found, contracts) : found
      return json(yield* Effect.orDie(Schema.encodeEffect(OrderJourney)(shown)))
    })
