import { Context, Effect, Layer, Redacted } from "effect"
import { Database } from "../../Database.ts"
import { databaseAt } from "../PostgresDatabase.ts"

/** An instance that takes what one has at a time, says so, and keeps it until it is gone; or its parent is. */
const { DATABASE_URL = "", SCHEMA = "", ALONE } = process.env
process.stdin.on("end", () => process.exit()).resume()

const holding = Effect.gen(function* () {
  const at = databaseAt({ url: Redacted.make(DATABASE_URL), schema: SCHEMA, alone: ALONE !== undefined })
  yield* Context.get(yield* Layer.build(at), Database).exclusive
  process.stdout.write("held\n")
  return yield* Effect.never
})

await Effect.runPromise(Effect.scoped(holding))
