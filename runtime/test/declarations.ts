import { Schema } from "effect"
import type { EventType } from "../events/Event.ts"
import { endpointsOf } from "../http/openapi/document.ts"
import { answersOf } from "../http/Idempotency.ts"
import { Edge } from "../http/Problem.ts"
import { notPublished } from "../outbox/Outbox.ts"
import type { Module } from "../module/Module.ts"

/** An event, and the module whose contract defines it. */
export interface Defined {
  readonly by: string
  readonly event: EventType
}

/** Sentences that name each declaration that does not agree with the others. */
export const faults = (
  modules: Readonly<Record<string, Module>>,
  defined: ReadonlyArray<Defined>,
): ReadonlyArray<string> => [
  ...Object.entries(modules).flatMap(([name, module]) => [
    ...(module.name === name ? [] : [`${module.name} runs under the name ${name}`]),
    ...module.reactions
      .filter((reaction) => !reaction.name.startsWith(`${module.name}.`))
      .map((reaction) => `the name of the reaction ${reaction.name} does not begin with ${module.name}.`),
    ...unanswered(module).map(
      (path) => `${path} of ${module.name} takes an Idempotency-Key, and its success is neither created nor updated`,
    ),
    ...unguarded(module).map((path) => `${path} of ${module.name} does not go through Edge`),
  ]),
  ...twice(Object.values(modules).flatMap(({ reactions }) => reactions.map(({ name }) => name))).map(
    (name) => `two reactions have the name ${name}`,
  ),
  ...twice(Object.values(modules).flatMap((module) => [...firstSegmentsOf(module)])).map(
    (segment) => `two modules serve /${segment}`,
  ),
  ...eventFaults(modules, defined),
]

const eventFaults = (modules: Readonly<Record<string, Module>>, defined: ReadonlyArray<Defined>) => {
  const owners = new Map(defined.map(({ by, event }) => [event, by]))
  const published = Object.values(modules).flatMap(({ name, publishes }) => publishes.map((event) => ({ name, event })))
  return [
    ...twice(defined.map(({ event }) => event.type)).map((type) => `two contracts define ${type}`),
    ...published
      .filter(({ name, event }) => owners.get(event) !== name)
      .map(({ name, event }) => `${name} publishes ${event.type}, which its contract does not define`),
    ...defined
      .filter(({ by, event }) => by in modules && !modules[by]!.publishes.includes(event))
      .map(({ by, event }) => notPublished(by, event.type)),
    ...Object.values(modules).flatMap(({ reactions }) =>
      reactions
        .filter(({ event }) => !owners.has(event))
        .map(({ name, event }) => `${name} reacts to ${event.type}, which no contract defines`),
    ),
  ]
}

const twice = (names: ReadonlyArray<string>) => [
  ...new Set(names.filter((name, position) => names.indexOf(name) !== position)),
]

const unguarded = ({ api }: Module) =>
  endpointsOf(api).flatMap(({ method, path, middlewares }) =>
    [...middlewares].some(({ key }) => key === Edge.key) ? [] : [`${method} ${path}`],
  )

/** What is done once is answered as `Idempotency` keeps it. */
const unanswered = ({ api }: Module) =>
  endpointsOf(api).flatMap((endpoint) => {
    const { method, path, headers } = endpoint
    const takesKey =
      headers !== undefined && JSON.stringify(Schema.toJsonSchemaDocument(headers)).includes("idempotency-key")
    return takesKey && answersOf(endpoint) === undefined ? [`${method} ${path}`] : []
  })

const firstSegmentsOf = ({ api }: Module) => new Set(endpointsOf(api).map(({ path }) => path.split("/")[1]!))
