import { Cause, Effect, Exit, type Scope } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { EventBusError, type Handle, type Received } from "../../events/EventBus.ts"
import { freeze } from "./freeze.ts"
import { startGuard } from "./guard.ts"
import type { FromMember, ToMember } from "./memberProcessMain.ts"

/** A process of its own that reads from Kafka. What it handles is handled here, and can be said when it is dead. */
export interface MemberProcess {
  readonly consume: (options: {
    readonly group: string
    readonly topics: ReadonlyArray<string>
    readonly handle: Handle
  }) => Effect.Effect<void, EventBusError, Scope.Scope>
  /** Sent when this is done; after SIGKILL no message follows. */
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
}

export const startMember = (servers: ReadonlyArray<string>): Effect.Effect<MemberProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const born = fork(new URL("memberProcessMain.ts", import.meta.url), servers, {
          serialization: "advanced",
          execArgv: ["--disable-warning=TimeoutNegativeWarning"],
          stdio: ["ignore", "ignore", "inherit", "ipc"],
        })
        // Another process may have its number once it is gone.
        const guard = startGuard(`while read -r pid; do last=$pid; done; [ -z "$last" ] || kill -KILL "$last"`)
        guard.write(String(born.pid))
        born.once("exit", () => guard.write(""))
        await once(born, "message")
        return { born, guard }
      }),
      ({ guard }) => Effect.promise(() => guard.release()),
    )
    const run = Effect.runForkWith(yield* Effect.context())
    const send = (message: ToMember) => Effect.sync(() => void child.born.send(message, () => {}))
    const handles = new Map<number, Handle>()
    const answers = new Map<string, () => void>()
    // Its last message has arrived by then.
    const gone = once(child.born, "disconnect")

    const receive = (message: FromMember) => {
      if (message._tag !== "call") return answers.get(`${message._tag} ${message.member}`)?.()
      const [first, ...rest] = message.records as [Received, ...Array<Received>]
      run(
        handles.get(message.member)!([first, ...rest]).pipe(
          Effect.exit,
          Effect.flatMap((done) => {
            const failed = Exit.isSuccess(done) ? undefined : String(Cause.squash(done.cause))
            return send({ _tag: "ended", call: message.call, failed })
          }),
        ),
      )
    }
    child.born.on("message", receive)

    const asked = (message: ToMember & { readonly member: number }, answer: FromMember["_tag"]) =>
      Effect.andThen(
        send(message),
        Effect.promise(() =>
          Promise.race([gone, new Promise<void>((done) => answers.set(`${answer} ${message.member}`, done))]),
        ),
      )

    let members = 0
    return {
      consume: ({ group, topics, handle }) =>
        Effect.gen(function* () {
          const member = ++members
          handles.set(member, handle)
          yield* Effect.acquireRelease(asked({ _tag: "join", member, group, topics }, "joined"), () =>
            Effect.timeoutOption(asked({ _tag: "leave", member }, "left"), "10 seconds"),
          )
        }),
      signal: (signal) =>
        Effect.promise(async () => {
          if (signal === "SIGSTOP") freeze(child.born.pid!)
          else child.born.kill(signal)
          if (signal === "SIGKILL") await gone
        }),
    }
  })
