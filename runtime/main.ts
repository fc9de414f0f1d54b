import { NodeRuntime } from "@effect/platform-node"
import { Cause, Effect, Exit, Layer, Runtime } from "effect"
import { drivers, galleria } from "./compose.ts"
import { readLogSettings, readSettings } from "./config.ts"
import { Loops, makeLoops } from "./module/loop.ts"
import { modules } from "./modules.ts"
import * as logs from "./telemetry/logs.ts"

const { argv, env } = process

const main = Effect.gen(function* () {
  const settings = yield* readSettings({ env, named: argv.slice(2), known: modules })
  const context = yield* Layer.build(Layer.provideMerge(drivers(settings), Layer.sync(Loops, makeLoops)))
  yield* Effect.provideContext(galleria(settings), context)
  return yield* Effect.never
}).pipe(Effect.scoped, Effect.provide(logs.layer(readLogSettings(env, process.stdout.isTTY))))

NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  teardown: (exit, done) => {
    if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return done(0)
    if (Exit.isFailure(exit)) process.stderr.write(`${String(Cause.squash(exit.cause))}\n`)
    Runtime.defaultTeardown(exit, done)
  },
})
