import { type Config, Context, Effect, type FileSystem, Layer, type Path } from "effect"
import type { Etag, HttpPlatform, HttpRouter } from "effect/http"
import { type HttpApi, HttpApiBuilder, type HttpApiGroup } from "effect/http-api"
import type { SqlClient } from "effect/sql"
import type { EventType } from "../events/Event.ts"
import type { Idempotency } from "../http/Idempotency.ts"
import type { Page } from "../http/Page.ts"
import type { Edge } from "../http/Problem.ts"
import type { Outbox } from "../outbox/Outbox.ts"
import type { Database } from "../sql/Database.ts"
import type { Migrations } from "../sql/migrate.ts"
import type { Reaction } from "./Reaction.ts"
import type { Worker } from "./Worker.ts"

/** Who takes part, as far as a module may know. */
export class Deployment extends Context.Service<
  Deployment,
  {
    /** The modules of this process. */
    readonly modules: ReadonlyArray<string>
    /** Modules of other processes take part too, as they do over Kafka. */
    readonly distributed: boolean
  }
>()("galleria/Deployment") {}

/** A module's reactions and workers, with its own services in them. */
export class Bound extends Context.Service<
  Bound,
  { readonly reactions: ReadonlyArray<Reaction<never>>; readonly workers: ReadonlyArray<Worker<never>> }
>()("galleria/Bound") {}

/** All that a module gets from the runtime, each its own. */
export type Ports = SqlClient.SqlClient | Database | Outbox | Idempotency | Page | Edge | Deployment

type Platform = HttpRouter.HttpRouter | Etag.Generator | HttpPlatform.HttpPlatform | FileSystem.FileSystem | Path.Path

/** A module as the runtime takes it: declarations as data, services sealed in the layer. */
export interface Module {
  readonly name: string
  /** Its endpoints, in groups that go through `Edge`. */
  readonly api: HttpApi.Constraint
  readonly publishes: ReadonlyArray<EventType>
  readonly reactions: ReadonlyArray<{ readonly name: string; readonly event: EventType }>
  readonly workers: ReadonlyArray<{ readonly name: string }>
  readonly migrations: Migrations
  /** By variable. The runtime reads them all before it starts and names every fault; the layer reads them again. */
  readonly settings: Readonly<Record<string, Config.Config<unknown>>>
  readonly layer: Layer.Layer<Bound, never, Ports | Platform>
}

type NeedsOf<Item> = Item extends Reaction<infer R> | Worker<infer R> ? R : never

/**
 * Makes a module. Its layer hands out its HTTP groups and the services that its reactions and workers need; what
 * it needs itself are ports. A reaction whose service the layer lacks does not compile, nor does an API without its
 * handlers.
 */
export const make = <
  const Name extends string,
  Groups extends HttpApiGroup.Constraint,
  const Reactions extends ReadonlyArray<Reaction<any>> = [],
  const Workers extends ReadonlyArray<Worker<any>> = [],
  Services = never,
  Needs = never,
>(options: {
  readonly name: Name
  readonly api: HttpApi.HttpApi<"galleria", Groups>
  readonly publishes: ReadonlyArray<EventType>
  readonly reactions?: Reactions
  readonly workers?: Workers
  readonly migrations: Migrations
  readonly settings?: Readonly<Record<string, Config.Config<unknown>>>
  readonly layer: Layer.Layer<Services | HttpApiGroup.ToService<"galleria", Groups>, never, Needs>
}) => {
  type Wanted = NeedsOf<Reactions[number] | Workers[number]>
  const reactions: ReadonlyArray<Reaction<Wanted>> = options.reactions ?? []
  const workers: ReadonlyArray<Worker<Wanted>> = options.workers ?? []
  const bound = Layer.effect(
    Bound,
    Effect.map(Effect.context<Wanted>(), (services) => ({
      reactions: reactions.map((reaction) => ({
        ...reaction,
        run: (events) => Effect.provideContext(reaction.run(events), services),
        reset: reaction.reset === undefined ? undefined : Effect.provideContext(reaction.reset, services),
      })),
      workers: workers.map((worker) => ({ ...worker, turn: Effect.provideContext(worker.turn, services) })),
    })),
  )
  return {
    name: options.name,
    api: options.api,
    publishes: options.publishes,
    reactions,
    workers,
    migrations: options.migrations,
    settings: options.settings ?? {},
    layer: Layer.merge(bound, HttpApiBuilder.layer(options.api)).pipe(Layer.provide(options.layer)),
  }
}
