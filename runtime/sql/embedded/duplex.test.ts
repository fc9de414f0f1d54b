import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { postgres } from "../../test/harness/memory.ts"
import { EmbeddedPostgres } from "./EmbeddedPostgres.ts"

/** Counts how often the event loop turns meanwhile. */
const turnsDuring = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    let turns = 0
    let isOver = false
    const count = () => {
      if (isOver) return
      turns++
      setImmediate(count)
    }
    setImmediate(count)
    yield* work
    isOver = true
    return turns
  })

layer(postgres(), { excludeTestServices: true })("The embedded database", (it) => {
  it.effect("lets the event loop turn while statement follows statement", () =>
    Effect.gen(function* () {
      const { client } = yield* EmbeddedPostgres
      const sql = yield* client("busy")
      const statements = Array.from({ length: 50 }, () => sql`select count(*) from generate_series(1, 20000)`)
      const turns = yield* turnsDuring(Effect.forEach(statements, (statement) => statement, { discard: true }))
      expect(turns).toBeGreaterThan(statements.length / 2)
    }),
  )
})
