import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, ConfigProvider, Effect, Exit, Layer, Option, Runtime } from "effect"
import { galleria } from "./compose.ts"
import { consoleAlone } from "./consoleProcess.ts"
import { drivers } from "./drivers.ts"
import { environment, readLogSettings, readSettings } from "./config.ts"
import { Loops, makeLoops } from "./loop/loop.ts"
import { returnMemoryAtRest } from "./loop/memory.ts"
import { modules } from "./modules.ts"
import * as logs from "./telemetry/logs.ts"
import * as otlp from "./telemetry/otlp.ts"

const { argv, env } = process

/** npm forwards a signal that the terminal has already sent to the whole group; a deliberate second signal comes later. */
const sameSignalMillis = 500

let signalled: number | undefined
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    signalled ??= performance.now()
    if (performance.now() - signalled > sameSignalMillis) process.exit(1)
  })
}

const logSettings = readLogSettings(env, process.stdout.isTTY)

const isStop = (cause: Cause.Cause<unknown>) => signalled !== undefined && Cause.hasInterruptsOnly(cause)

/** The message of a typed failure, or a defect in full. */
const whyOf = (cause: Cause.Cause<unknown>) => {
  const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
  return failure instanceof Error ? failure.message : Cause.pretty(cause)
}

/** Writes the reason to the log too; on a terminal standard error is enough. */
const logEnd = (cause: Cause.Cause<unknown>) => Effect.logFatal(whyOf(cause))

/** Runs a program on services that close with the scope. */
const run = <A, E, R, S, E2>(program: Effect.Effect<A, E, R>, services: Layer.Layer<S, E2>) =>
  Effect.flatMap(Layer.build(services), (context) => Effect.provideContext(program, context))

const main = Effect.gen(function* () {
  const settings = yield* readSettings({ env, named: argv.slice(2), known: modules })
  const shared = Layer.merge(Layer.sync(Loops, makeLoops), otlp.layer(settings.otlp))
  const { consoleOver } = settings
  const started =
    consoleOver === undefined
      ? run(galleria(settings), Layer.provideMerge(drivers(settings), shared))
      : run(consoleAlone(settings, consoleOver), shared)
  const { ended } = yield* started
  return yield* ended
}).pipe(
  Effect.scoped,
  Effect.tapCause((cause) => (isStop(cause) || logSettings.format === "pretty" ? Effect.void : logEnd(cause))),
  // Modules read their settings by the same rules as `readSettings`: an empty variable is unset, a secret may be in a file.
  Effect.provide(ConfigProvider.layer(environment(env).provider)),
  Effect.provide(logs.layer(logSettings)),
)

returnMemoryAtRest()
NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  teardown: (exit, done) => {
    if (Exit.isFailure(exit) && isStop(exit.cause)) return done(0)
    if (Exit.isFailure(exit)) process.stderr.write(`${whyOf(exit.cause)}\n`)
    Runtime.defaultTeardown(exit, done)
  },
})
