// Only the compiler is asked here. @effect-diagnostics *:off
/**
 * The net of types, seen red: each of these must not compile. `npm run check` fails when one of them does, for then
 * its `@ts-expect-error` has nothing to expect.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { define } from "../events/Event.ts"
import { EventBus } from "../events/EventBus.ts"
import { make, type Module } from "../module/Module.ts"
import { created, headers, Idempotency, problems } from "../http/Idempotency.ts"
import { all, each } from "../module/Reaction.ts"
import { again, done, task } from "../module/Task.ts"

const Happened = define("happened", {
  data: Schema.Struct({ a: Schema.Int }),
  key: "a",
  subject: "a",
})
const api = HttpApi.make("galleria").add(HttpApiGroup.make("things").add(HttpApiEndpoint.get("list", "/things")))
const http = HttpApiBuilder.group(api, "things", (handlers) => handlers.handle("list", () => Effect.void))

class Things extends Context.Service<Things, { readonly note: (a: number) => Effect.Effect<void> }>()("red/Things") {}
const things = Layer.succeed(Things, { note: () => Effect.void })
const note = each({
  name: "things.note",
  event: Happened,
  handle: ({ data }) => Things.use((all) => all.note(data.a)),
})
const send = task({
  name: "things.send",
  begin: (items) => Effect.succeed(items.map(({ id }) => ({ to: id }))),
  call: ({ to }) =>
    Effect.as(
      Things.use((all) => all.note(to.length)),
      { number: 1 },
    ),
  end: (results) =>
    Effect.succeed(
      results.map(({ result }) => (result._tag === "Answered" && result.answer.number > 0 ? done : again)),
    ),
})
const rest = { name: "things", api, publishes: [Happened], migrations: {} } as const

/** Right, so that what follows is wrong for its own reason. */
export const right = {
  things: make({ ...rest, reactions: [note], tasks: [send], layer: http.pipe(Layer.provideMerge(things)) }),
} satisfies Record<string, Module>

export const lacksAServiceOfATask = {
  things: make({
    ...rest,
    tasks: [send],
    // @ts-expect-error a task needs Things, and the module's layer does not hand it out
    layer: http,
  }),
} satisfies Record<string, Module>

export const endsWhatItDoesNotCall = task({
  name: "things.misread",
  begin: (items) => Effect.succeed(items.map(({ id }) => id)),
  call: (id) => Effect.succeed(id.length),
  end: ([{ result }]) => {
    // @ts-expect-error the answer of the call is a number
    const isGood = result._tag === "Answered" && result.answer.isGood
    return Effect.succeed([isGood ? done : again])
  },
})

export const callsWhatItDoesNotBegin = task({
  name: "things.miscall",
  begin: (items) => Effect.succeed(items.map(({ id }) => ({ to: id }))),
  // @ts-expect-error what begins has no from
  call: ({ from }) => Effect.succeed(from),
  end: (results) => Effect.succeed(results.map(() => done)),
})

export const beginsWithItsOwnError = task({
  name: "things.refuse",
  // @ts-expect-error begin and end do not fail; what goes wrong there is a defect
  begin: () => Effect.fail("no"),
  call: () => Effect.void,
  end: (results) => Effect.succeed(results.map(() => done)),
})

export const lacksAService = {
  things: make({
    ...rest,
    reactions: [note],
    // @ts-expect-error a reaction needs Things, and the module's layer does not hand it out
    layer: http,
  }),
} satisfies Record<string, Module>

export const meetsTheBus = {
  things: make({
    ...rest,
    reactions: [note],
    // @ts-expect-error a module is not given the bus
    layer: http.pipe(Layer.provideMerge(Layer.effect(Things, Effect.as(EventBus, { note: () => Effect.void })))),
  }),
} satisfies Record<string, Module>

export const lacksItsHandlers = make({
  ...rest,
  reactions: [note],
  // @ts-expect-error the API has a group without handlers
  layer: things,
})

export const readsWhatIsNotThere = all({
  name: "things.misread",
  event: Happened,
  // @ts-expect-error the event has no b
  handle: ([first]) => Effect.log(first.data.b),
})

export const failsWithItsOwnError = each({
  name: "things.fail",
  event: Happened,
  // @ts-expect-error a reaction fails with Reject or Postpone; anything else is a defect
  handle: () => Effect.fail("no"),
})

const Thing = Schema.Struct({ id: Schema.Int })
const thingsApi = HttpApi.make("galleria").add(
  HttpApiGroup.make("things").add(
    HttpApiEndpoint.post("add", "/things", { headers, success: created(Thing, "/things/:id"), error: [...problems] }),
  ),
)

export const forgetsToKeepItsAnswer = HttpApiBuilder.group(
  thingsApi,
  "things",
  Effect.fnUntraced(function* (handlers) {
    const idempotency = yield* Idempotency
    const add = Effect.succeed({ id: 1 })
    return handlers.handle("add", (asked) =>
      // @ts-expect-error the answer to what is done once is made by its claim
      idempotency.once(asked, () => add),
    )
  }),
)
