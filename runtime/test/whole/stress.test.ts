import { expect, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { inbox } from "../../delivery/inbox.ts"
import { Databases } from "../../sql/Database.ts"
import { migrate } from "../../sql/migrate.ts"
import { databasesAt, realPostgres } from "../harness/postgres.ts"
import type { Subject } from "../../admin/suite/DeadLettersSuite.ts"
import { prepare, stress } from "../delivery/stress.ts"

/** `SEED=17 npm run test:whole -- runtime/test/whole/stress.test.ts` plays one again, for who is faster differs each time. */
const given = process.env["SEED"]
const seeds = Array.from({ length: 200 }, (_, n) => (given === undefined ? n + 1 : Number(given)))

/** What was found by the seeds, up to the first that finds something. */
const faultsOf = (of: ReadonlyArray<number>, subject?: Subject) =>
  Effect.gen(function* () {
    for (const seed of of) {
      const faults = yield* stress(seed, subject)
      if (faults.length > 0) return [`seed ${seed}`, ...faults]
    }
    return []
  })

const noGate: Subject = { inbox: (sql) => ({ ...inbox(sql), heldKeys: () => Effect.succeed(() => false) }) }
const noLock: Subject = { statement: (text) => text.replace("for update of h skip locked", "") }

const url = await realPostgres()

if (url !== undefined) {
  const database = Layer.unwrap(
    Effect.map(Databases, (databases) => {
      const one = databases.of(`stress_${process.pid}`)
      return Layer.effectDiscard(Effect.andThen(migrate({}), prepare)).pipe(Layer.provideMerge(one))
    }),
  ).pipe(Layer.provide(databasesAt(url)))

  layer(database, { excludeTestServices: true })("delivery under stress (postgres)", (it) => {
    it.effect(
      "applies each event once and in the order of its key, with any concurrent workers",
      () => Effect.map(faultsOf(seeds), (faults) => expect(faults).toEqual([])),
      300_000,
    )

    it.effect("is seen to go wrong without a gate", () =>
      Effect.map(faultsOf(seeds, noGate), (faults) => expect(faults.join()).toMatch(/[abc]: \d+ /u)),
    )

    it.effect("is seen to go wrong with a worker that locks nothing", () =>
      Effect.map(faultsOf(seeds, noLock), (faults) => expect(faults.join()).toMatch(/ (?:[2-9]|\d\d) times/u)),
    )
  })
}
