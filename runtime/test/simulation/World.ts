import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ConfigProvider, Context, Effect, Latch, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { SqlClient } from "effect/sql"
import { Orders } from "../../../modules/order/Orders.ts"
import { Users } from "../../../modules/user/Users.ts"
import { cache } from "../../drivers.ts"
import { portsOf } from "../../ports.ts"
import { Deliveries } from "../../module/Deliveries.ts"
import { makePositions, type ModulePositions } from "../../delivery/positions.ts"
import { EventBus, type Partition } from "../../events/EventBus.ts"
import { Bound, Deployment, type Module } from "../../module/Module.ts"
import type { Reaction } from "../../module/Reaction.ts"
import { modules as byName } from "../../modules.ts"
import { Databases } from "../../sql/Database.ts"
import * as EmbeddedDatabase from "../../sql/embedded/EmbeddedDatabase.ts"
import { EmbeddedPostgres } from "../../sql/embedded/EmbeddedPostgres.ts"
import { makeClock } from "./clock.ts"
import { makeLog, partitions } from "./Log.ts"
import type { Plant } from "./Plant.ts"

const modules: ReadonlyArray<Module> = Object.values(byName)

/** The stock at the beginning of each run. */
export const stock = { A: 3, B: 2 } as const

/** How long stock is held for an order that is not paid. */
export const holdMinutes = 15

/** A module on its migrated schema, which all runs share. */
interface Place {
  readonly module: Module
  readonly ports: Effect.Success<ReturnType<typeof portsBuilt>>
  readonly sql: SqlClient.SqlClient
  readonly positions: ModulePositions
  /** The partitions of the topics that it reacts to. */
  readonly partitions: ReadonlyArray<Partition>
}

const portsBuilt = (module: Module) =>
  Effect.flatMap(Databases, (databases) => Layer.build(portsOf(module, databases.of(module.name))))

const placeOf = (module: Module) =>
  Effect.gen(function* () {
    const ports = yield* portsBuilt(module)
    const topics = [...new Set(module.reactions.map(({ event }) => event.type))]
    const read = topics.flatMap((topic) => Array.from({ length: partitions }, (_, partition) => ({ topic, partition })))
    const reactions = module.reactions as ReadonlyArray<Reaction<never>>
    const moved = Latch.makeUnsafe(false)
    const positions = yield* Effect.provideContext(
      makePositions({ module: module.name, reactions, moved, logKnown: Effect.void }),
      ports,
    )
    yield* positions.begin(read, (yield* EventBus).ends(topics))
    return { module, ports, sql: Context.get(ports, SqlClient.SqlClient), positions, partitions: read } satisfies Place
  })

/** What the modules share. It is new in each run, for it keeps states in memory, such as that of the circuit. */
const platform = Layer.mergeAll(
  HttpRouter.layer,
  NodeHttpServer.layerHttpServices,
  cache(undefined),
  Layer.succeed(Deployment, { modules: modules.map(({ name }) => name), distributed: false }),
)

/** Starts all modules as one process does, and returns the services that requests call too. */
const start = (places: ReadonlyArray<Place>, settings: Readonly<Record<string, string>>, plant: Plant) =>
  Effect.gen(function* () {
    const shared = yield* Layer.build(platform)
    const running = []
    let services: Context.Context<Orders | Users> | undefined
    for (const place of places) {
      const deliveries = Context.get(place.ports, Deliveries)
      const context = Context.merge(shared, place.ports).pipe(
        Context.add(Deliveries, plant.deliveries?.(deliveries) ?? deliveries),
      )
      const { reactions, tasks, audit } = Context.get(
        yield* Effect.provideContext(Layer.build(place.module.layer), context),
        Bound,
      )
      running.push({ ...place, reactions, tasks, audit })
      const own = place.module.name === "order" ? Orders.layer : place.module.name === "user" ? Users.layer : undefined
      if (own === undefined) continue
      const built = yield* Effect.provideContext(Layer.build(own as Layer.Layer<Orders | Users>), context)
      services = services === undefined ? built : Context.merge(services, built)
    }
    return { running, orders: Context.get(services!, Orders), users: Context.get(services!, Users) }
  }).pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(settings)))

export type Running = Effect.Success<ReturnType<typeof start>>["running"][number]

/** Tables that are not emptied: they describe the database itself. */
const kept = ["runtime_migrations", "module_migrations", "secrets", "position", "reaction_start"]

/** One embedded database in memory with all modules in it, an event log, and a clock, for any number of runs. */
export const makeWorld = Effect.gen(function* () {
  const clock = makeClock()
  const log = makeLog(clock.now)
  const places = yield* Effect.provideService(Effect.forEach(modules, placeOf), EventBus, log.bus)
  const { sql } = places[0]!
  const schemas = [...modules.map(({ name }) => name), "payment_sandbox"]
  const tables = yield* sql<{ name: string }>`
    select format('%I.%I', schemaname, tablename) as name from pg_tables
    where schemaname in ${sql.in(schemas)} and tablename not in ${sql.in(kept)}`
  const sequences = yield* sql<{ name: string }>`
    select format('%I.%I', schemaname, sequencename) as name from pg_sequences where schemaname in ${sql.in(schemas)}`
  const literal = (texts: ReadonlyArray<string>) => sql.literal(texts.join(", "))
  const emptied = literal(tables.map(({ name }, n) => `emptied_${n} as (delete from ${name})`))
  const rewound = literal(modules.map(({ name }, n) => `rewound_${n} as (update "${name}".position set next = 0)`))
  const restarted = literal(sequences.map(({ name }) => `setval('${name}', 1, false)`))
  const shelf = JSON.stringify(Object.entries(stock).map(([product_id, stock]) => ({ product_id, stock })))

  /** Empties log and tables, and puts the stock there. Rows are deleted: to truncate so many tables takes far longer. */
  const reset = Effect.gen(function* () {
    log.clear()
    clock.restart()
    yield* sql`with ${emptied}, ${rewound} select ${restarted}`
    yield* sql`
      with shelf as (
        insert into inventory.products (product_id, product_name, stock)
        select product_id, product_id, stock from json_to_recordset(${shelf}::json) as x (product_id text, stock bigint)
        returning product_id, stock)
      insert into inventory.ledger (product_id, change, stock_change, reserved_change, at)
      select product_id, 'put', stock, 0, ${new Date(clock.now())} from shelf`
  })

  return {
    clock,
    log,
    sql,
    reset,
    start: (settings: Readonly<Record<string, string>>, plant: Plant) => start(places, settings, plant),
  }
})

export type World = Effect.Success<typeof makeWorld>

/** The embedded database of a world; `snapshot` as in `EmbeddedPostgres.layerMemory`. */
export const database = (snapshot?: string) =>
  Layer.provideMerge(EmbeddedDatabase.layer, EmbeddedPostgres.layerMemory(snapshot === undefined ? {} : { snapshot }))
