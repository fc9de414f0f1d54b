import { type Config, Context, Effect, type FileSystem, Layer, type Path } from "effect"
import type { Etag, HttpPlatform, HttpRouter } from "effect/http"
import { type HttpApi, HttpApiBuilder, type HttpApiGroup } from "effect/http-api"
import type { CircuitBreaker, Persistence } from "effect/persistence"
import type { SqlClient } from "effect/sql"
import type { EventType } from "../events/Event.ts"
import type { Idempotency } from "../http/Idempotency.ts"
import type { Page } from "../http/Page.ts"
import type { Edge } from "../http/Problem.ts"
import type { Deliveries } from "./Deliveries.ts"
import type { Outbox } from "../outbox/Outbox.ts"
import type { Database } from "../sql/Database.ts"
import type { Migrations } from "../sql/migrate.ts"
import type { Audit } from "./Audit.ts"
import type { Journey } from "./Journey.ts"
import type { Reaction } from "./Reaction.ts"
import type { Tasks } from "./Tasks.ts"
import type { Task } from "./Task.ts"

/** The modules of the deployment, as far as a module may depend on them. */
export class Deployment extends Context.Service<
  Deployment,
  {
    /** The modules of this process. */
    readonly modules: ReadonlyArray<string>
    /** Whether modules run in other processes too, as over Kafka. */
    readonly distributed: boolean
  }
>()("galleria/Deployment") {}

/** An external dependency of a module, shown in `/readyz`: without it the process is degraded. */
export interface ModuleCheck<out R> {
  readonly name: string
  /** Whether the check is shown, evaluated once at the start; default: it is shown. */
  readonly applies?: Effect.Effect<boolean, never, R>
  /** The fault, or undefined. Returns at once: it reports the last known state and does not probe. */
  readonly fault: Effect.Effect<string | undefined, never, R>
}

/** A module's reactions, tasks, checks, audit and journey, with its services provided. */
export class Bound extends Context.Service<
  Bound,
  {
    readonly reactions: ReadonlyArray<Reaction<never>>
    readonly tasks: ReadonlyArray<Task<never>>
    readonly checks: ReadonlyArray<ModuleCheck<never>>
    readonly audit: Audit | undefined
    readonly journey: Journey | undefined
  }
>()("galleria/Bound") {}

/** Everything that a module gets from the runtime. Modules share only the cache and the circuit store. */
export type Ports =
  | SqlClient.SqlClient
  | Database
  | Outbox
  | Tasks
  | Deliveries
  | Idempotency
  | Page
  | Edge
  | Deployment
  | Persistence.Persistence
  | CircuitBreaker.CircuitBreakerStore

type Platform = HttpRouter.HttpRouter | Etag.Generator | HttpPlatform.HttpPlatform | FileSystem.FileSystem | Path.Path

/** A module for the runtime: declarations as data, services provided by the layer. */
export interface Module {
  readonly name: string
  /** Its endpoints, in groups with the middleware `Edge`. */
  readonly api: HttpApi.Constraint
  readonly publishes: ReadonlyArray<EventType>
  readonly reactions: ReadonlyArray<Pick<Reaction<any>, "name" | "event" | "reset" | "decode">>
  readonly tasks: ReadonlyArray<{ readonly name: string }>
  readonly migrations: Migrations
  /** By environment variable. The runtime reads all of them at the start and reports every fault; the layer reads them again. */
  readonly settings: Readonly<Record<string, Config.Config<unknown>>>
  readonly layer: Layer.Layer<Bound, never, Ports | Platform>
}

/** Rejects a layer that lacks services; the compiler names them at the module's `layer`. */
type Sealed<Lacking> = [Lacking] extends [never] ? unknown : { readonly "the layer lacks": Lacking }

type NeedsOf<Item> = Item extends Reaction<infer R> | Task<infer R> | ModuleCheck<infer R> ? R : never

/**
 * Makes a module. Its layer provides its HTTP groups and the services of its reactions, tasks and checks, and requires only
 * ports. A reaction whose service the layer lacks does not compile, nor does an API without handlers; the compiler reports
 * the error at the module's `layer`.
 */
export const make = <
  const Name extends string,
  Groups extends HttpApiGroup.Constraint,
  const Reactions extends ReadonlyArray<Reaction<any>> = [],
  const TaskList extends ReadonlyArray<Task<any>> = [],
  const Checks extends ReadonlyArray<ModuleCheck<any>> = [],
  Services = never,
  Needs = never,
  AuditNeeds = never,
  JourneyNeeds = never,
>(options: {
  readonly name: Name
  readonly api: HttpApi.HttpApi<"galleria", Groups>
  readonly publishes: ReadonlyArray<EventType>
  readonly reactions?: Reactions
  readonly tasks?: TaskList
  readonly checks?: Checks
  /** The module's contribution to an audit; built once, at the start. */
  readonly audit?: Effect.Effect<Audit, never, AuditNeeds>
  /** The module's contribution to journeys and the overview; built once, at the start. */
  readonly journey?: Effect.Effect<Journey, never, JourneyNeeds>
  readonly migrations: Migrations
  readonly settings?: Readonly<Record<string, Config.Config<unknown>>>
  readonly layer: Layer.Layer<Services | HttpApiGroup.ToService<"galleria", Groups>, never, Needs> &
    Sealed<
      Exclude<
        | Needs
        | Exclude<NeedsOf<Reactions[number] | TaskList[number] | Checks[number]> | AuditNeeds | JourneyNeeds, Services>,
        Ports | Platform
      >
    >
}) => {
  type Wanted = NeedsOf<Reactions[number] | TaskList[number] | Checks[number]>
  const reactions: ReadonlyArray<Reaction<Wanted>> = options.reactions ?? []
  const tasks: ReadonlyArray<Task<Wanted>> = options.tasks ?? []
  const checks: ReadonlyArray<ModuleCheck<Wanted>> = options.checks ?? []
  const audit: Effect.Effect<Audit | undefined, never, AuditNeeds> = options.audit ?? Effect.succeed(undefined)
  const journey: Effect.Effect<Journey | undefined, never, JourneyNeeds> = options.journey ?? Effect.succeed(undefined)
  const bound = Layer.effect(
    Bound,
    Effect.gen(function* () {
      const services = yield* Effect.context<Wanted>()
      const shown = yield* Effect.filter(checks, ({ applies }) => applies ?? Effect.succeed(true))
      return {
        reactions: reactions.map((reaction) => ({
          ...reaction,
          run: (events) => Effect.provideContext(reaction.run(events), services),
          reset: reaction.reset === undefined ? undefined : Effect.provideContext(reaction.reset, services),
        })),
        tasks: tasks.map((task) => ({
          ...task,
          begin: (items) => Effect.provideContext(task.begin(items), services),
          call: (call, id) => Effect.provideContext(task.call(call, id), services),
          end: (results) => Effect.provideContext(task.end(results), services),
        })),
        checks: shown.map(({ name, fault }) => ({ name, fault: Effect.provideContext(fault, services) })),
        audit: yield* audit,
        journey: yield* journey,
      }
    }),
  )
  return {
    name: options.name,
    api: options.api,
    publishes: options.publishes,
    reactions,
    tasks,
    migrations: options.migrations,
    settings: options.settings ?? {},
    // Only ports are still required: `Sealed` ensures that.
    layer: Layer.merge(bound, HttpApiBuilder.layer(options.api)).pipe(Layer.provide(options.layer)) as Layer.Layer<
      Bound,
      never,
      Ports | Platform
    >,
  }
}

/** The event types that these modules publish or react to. */
export const eventsOf = (modules: ReadonlyArray<Pick<Module, "publishes" | "reactions">>): ReadonlyArray<EventType> => [
  ...new Map(
    modules
      .flatMap((module) => [...module.publishes, ...module.reactions.map((reaction) => reaction.event)])
      .map((event) => [event.type, event]),
  ).values(),
]

/** The event types that feed a projection with a reset in one of these modules. */
export const projectedBy = (modules: ReadonlyArray<Module>): ReadonlySet<string> =>
  new Set(
    modules.flatMap(({ reactions }) =>
      reactions.filter(({ reset }) => reset !== undefined).map(({ event }) => event.type),
    ),
  )
