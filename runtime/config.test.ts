import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { readSettings } from "./config.ts"
import { modules as known } from "./modules.ts"

const read = (env: Readonly<Record<string, string>>, ...named: ReadonlyArray<string>) =>
  Effect.map(Effect.result(readSettings({ env, named, known })), (result) =>
    result._tag === "Success" ? result.success : result.failure.faults,
  )

describe("The console alone", () => {
  it.effect("runs no module, over those at MODULE_URLS", () =>
    Effect.gen(function* () {
      const env = { MODULE_URLS: "user=http://user:8000/, order=http://order:8000" }
      const consoleOver = [
        { url: "http://user:8000", module: "user" },
        { url: "http://order:8000", module: "order" },
      ]
      expect(yield* read(env, "console")).toMatchObject({ modules: [], consoleOver })
      expect(yield* read({ ...env, MODULES: "console" })).toMatchObject({ modules: [], consoleOver })
    }),
  )

  it.effect("is not run beside modules, nor with wrong addresses", () =>
    Effect.gen(function* () {
      expect(yield* read({}, "console", "user")).toEqual([expect.stringContaining('there is no module "console"')])
      expect(yield* read({ MODULE_URLS: "shop=http://a" }, "console")).toEqual([
        expect.stringMatching(/^MODULE_URLS: there is no module "shop"/u),
      ])
      expect(yield* read({ MODULE_URLS: "shop=http://a" }, "user")).toMatchObject({ consoleOver: undefined })
    }),
  )
})

describe("CONSOLE_TRACE_URL", () => {
  it.effect("is a URL with the place of the trace's id", () =>
    Effect.gen(function* () {
      const traceUrl = "http://localhost:16686/trace/{trace_id}"
      expect(yield* read({ CONSOLE_TRACE_URL: traceUrl })).toMatchObject({ traceUrl })
      for (const wrong of ["http://localhost:16686", "javascript:alert('{trace_id}')", "{trace_id}"]) {
        expect(yield* read({ CONSOLE_TRACE_URL: wrong })).toEqual([expect.stringMatching(/^CONSOLE_TRACE_URL: /u)])
      }
    }),
  )
})

describe("FAULTS", () => {
  it.effect("are off by default, shown with what to try, and refused with Kafka", () =>
    Effect.gen(function* () {
      expect(yield* read({})).toMatchObject({ faults: false, tryIt: false })
      expect(yield* read({ FAULTS: "on" })).toMatchObject({ faults: true, tryIt: true })
      expect(yield* read({ CONSOLE_TRY: "on" })).toMatchObject({ faults: false, tryIt: true })
      expect(yield* read({ FAULTS: "on", KAFKA_BOOTSTRAP_SERVERS: "kafka:9092" })).toEqual([
        expect.stringMatching(/^FAULTS: .*KAFKA_BOOTSTRAP_SERVERS$/u),
      ])
      expect(yield* read({ FAULTS: "yes" })).toHaveLength(1)
    }),
  )
})
