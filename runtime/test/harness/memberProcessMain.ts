import { Effect, Exit, Layer, Scope } from "effect"
import { EventBus, type Received } from "../../events/EventBus.ts"
import * as KafkaEventBus from "../../events/kafka/KafkaEventBus.ts"
import { Loops, makeLoops } from "../../loop/loop.ts"

export type ToMember =
  | {
      readonly _tag: "join"
      readonly member: number
      readonly group: string
      readonly topics: ReadonlyArray<string>
    }
  | { readonly _tag: "leave"; readonly member: number }
  | { readonly _tag: "ended"; readonly call: number; readonly failed: string | undefined }

export type FromMember =
  | { readonly _tag: "joined" | "left"; readonly member: number }
  | { readonly _tag: "call"; readonly member: number; readonly call: number; readonly records: ReadonlyArray<Received> }

/** Reads from Kafka for the process that forked this one, and asks that what becomes of each record. */
const send = (message: FromMember | { readonly _tag: "ready" }) => Effect.sync(() => void process.send!(message))

const settings = { servers: process.argv.slice(2), ssl: false, sasl: undefined }

const program = Effect.gen(function* () {
  const bus = yield* EventBus
  const run = Effect.runForkWith(yield* Effect.context())
  const scopes = new Map<number, Scope.Closeable>()
  const calls = new Map<number, (failed: string | undefined) => void>()
  let last = 0

  const ask = (member: number, records: ReadonlyArray<Received>) => {
    const call = ++last
    return Effect.callback<void, string>((resume) => {
      calls.set(call, (failed) => resume(failed === undefined ? Effect.void : Effect.fail(failed)))
      process.send!({ _tag: "call", member, call, records } satisfies FromMember)
    })
  }

  process.on("message", (message: ToMember) => {
    if (message._tag === "ended") return calls.get(message.call)?.(message.failed)
    const { member } = message
    if (message._tag === "leave") {
      const scope = scopes.get(member)
      return scope && run(Effect.andThen(Scope.close(scope, Exit.void), send({ _tag: "left", member })))
    }
    const { group, topics } = message
    const scope = Scope.makeUnsafe()
    scopes.set(member, scope)
    const joining = bus.consume({ group, topics, handle: (records) => ask(member, records) })
    return run(Effect.andThen(Scope.provide(joining, scope), send({ _tag: "joined", member })))
  })
  yield* send({ _tag: "ready" })
  return yield* Effect.never
})

process.on("disconnect", () => process.exit())
Effect.runFork(Effect.provide(program, Layer.provide(KafkaEventBus.layer(settings), Layer.sync(Loops, makeLoops))))
