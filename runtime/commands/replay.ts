/**
 * `npm run replay -- --reaction user.record-order [--from 2026-01-31T00:00:00Z] [--reset]`: makes a reaction read
 * its topic again.
 *
 * Requests it from the process at HOST and PORT; when none runs there, runs the reaction's module until the replay is done.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer, Redacted, Schema } from "effect"
import { parseArgs } from "node:util"
import { galleria } from "../compose.ts"
import { drivers } from "../drivers.ts"
import { readLogSettings, readSettings, type Settings } from "../config.ts"
import type { Replay } from "../delivery/replay.ts"
import { urlOf } from "../http/address.ts"
import { Loops, makeLoops } from "../loop/loop.ts"
import { modules } from "../modules.ts"
import * as logs from "../telemetry/logs.ts"

const { argv, env, stdout } = process

class CannotReplay extends Schema.TaggedError<CannotReplay>()("CannotReplay", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

const usage = "usage: npm run replay -- --reaction NAME [--from ISO-TIME] [--reset]"

const options = Effect.try({
  try: () => {
    const { values } = parseArgs({
      args: argv.slice(2),
      options: { reaction: { type: "string" }, from: { type: "string" }, reset: { type: "boolean", default: false } },
    })
    if (values.reaction === undefined) throw new Error("--reaction is required")
    return { ...values, reaction: values.reaction }
  },
  catch: (error) => new CannotReplay({ reason: `${error instanceof Error ? error.message : String(error)}\n${usage}` }),
})

const ask = (settings: Settings, url: string, path: string, body?: object) =>
  Effect.tryPromise({
    try: async () => {
      const token = settings.adminToken
      const authorization = token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }
      const response = await fetch(`${url}${path}`, {
        headers: { "content-type": "application/json", ...authorization },
        ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
      })
      const answer: unknown = await response.json()
      return { ok: response.ok, answer }
    },
    catch: () => new CannotReplay({ reason: `no answer from ${url}` }),
  }).pipe(
    Effect.flatMap(({ ok, answer }) =>
      ok ? Effect.succeed(answer as Replay) : Effect.fail(new CannotReplay({ reason: JSON.stringify(answer) })),
    ),
  )

const isRunning = (url: string) =>
  Effect.promise(() =>
    fetch(`${url}/livez`).then(
      () => true,
      () => false,
    ),
  )

/** Runs only the module that has the reaction, on a free port. */
const runAlone = (settings: Settings, reaction: string) =>
  Effect.gen(function* () {
    const own = settings.modules.filter((module) => module.reactions.some(({ name }) => name === reaction))
    if (own.length === 0) return yield* new CannotReplay({ reason: `there is no reaction ${reaction}` })
    const context = yield* Layer.build(Layer.provideMerge(drivers(settings), Layer.sync(Loops, makeLoops)))
    const alone = { ...settings, modules: own, host: "127.0.0.1", port: 0 }
    const { url } = yield* Effect.provideContext(galleria(alone), context)
    return url
  })

const show = ({ topic, state, remaining }: Replay) =>
  Effect.sync(() => {
    const what = state === "resetting" ? "undoing the effects of the reaction" : `${remaining} records to read`
    if (stdout.isTTY) stdout.write(`\r\u001b[K${topic}: ${what}`)
  })

const main = Effect.gen(function* () {
  const { reaction, from, reset } = yield* options
  const settings = yield* readSettings({ env, named: [], known: modules })
  const there = urlOf(settings.host, settings.port)
  const url = (yield* isRunning(there)) ? there : yield* runAlone(settings, reaction)
  let state = yield* ask(settings, url, "/admin/replays", { reaction, reset, ...(from === undefined ? {} : { from }) })
  let all = state.remaining
  while (state.state !== "done") {
    all = Math.max(all, state.remaining)
    yield* show(state)
    yield* Effect.sleep("200 millis")
    state = yield* ask(settings, url, `/admin/replays/${encodeURIComponent(reaction)}`)
  }
  stdout.write(`${stdout.isTTY ? "\r\u001b[K" : ""}${reaction} has read ${all} records of ${state.topic} again\n`)
}).pipe(
  Effect.scoped,
  Effect.provide(logs.layer({ ...readLogSettings(env, stdout.isTTY), level: "warn" })),
  Effect.tapError((error) => Effect.sync(() => process.stderr.write(`${error.message}\n`))),
)

NodeRuntime.runMain(main, { disableErrorReporting: true })
