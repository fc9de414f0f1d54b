import { describe, expect, layer } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Layer } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { drivers } from "../../test/harness/memory.ts"
import { type Bell, Database, Databases, DatabaseUnavailable } from "../Database.ts"
import { type Check, checks, run } from "./DatabaseSuite.ts"

type Port = Database["Service"]

/** A driver with a fault that shows at the port. */
interface BrokenDatabase {
  readonly driver: string
  readonly breaking?: (database: Port, sql: SqlClient.SqlClient) => Partial<Port>
  /** Settings of the session while the driver is used. */
  readonly settings?: Readonly<Record<string, string>>
  /** The schema that a module gets. */
  readonly schemaOf?: (module: string) => string
  /** The checks that have to notice, and what each complains of. */
  readonly red: Readonly<Record<string, string>>
}

const rollback = "leaves nothing behind of a transaction that fails, by whatever"
const join = "lets a transaction join the one that runs"
const refusedCommit = "dies of a commit that is refused, with what the server says"
const bellAfter = "rings a bell after the commit, and not when that does not come"
const bellAtOnce = "rings at once outside of a transaction, for all who wait, and no other bell"
const answers = "gives callers who travel together each their own answer"
const failsAlone =
  "fails only the caller whose input it was, of those who travel together, also by a lock or a deadlock"
const oneFailed = new DatabaseUnavailable({ reason: "one of them failed" })
const refusedAlone = "refuses of callers who travel together the guilty one alone"
const leaving = "leaves undone what callers wanted who go before it has begun"
const apart = "gives each module tables of its own, by the same names"
const probed = "answers a probe, and may be written to"
const migratedOnce = "is migrated once, by the first of several instances that start"
const failedMigration = "is left by a migration that fails as it was, and migrated by the next start"
const byIndex = "finds rows by an index, though the statement was planned while the table was empty"
const older = "is left alone by an older release"

/** As the port's own transaction, but for what becomes of it. */
const ending = (end: (running: Effect.Effect<any, any, any>) => Effect.Effect<any, any, any>) => (database: Port) => ({
  transaction: <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => end(database.transaction(work)),
})

const ringing = (change: (bell: Bell) => Bell) => (database: Port) => ({
  bell: (name: string) => change(database.bell(name)),
})

/** Commits, however the work ended. */
const committing =
  (sql: SqlClient.SqlClient): SqlClient.SqlClient["withTransaction"] =>
  (work) =>
    Effect.flatten(sql.withTransaction(Effect.exit(work)))

const forgetting = (sql: SqlClient.SqlClient) =>
  Effect.andThen(sql`drop table if exists runtime_migrations`, sql`drop table if exists module_migrations`)

const lost = new SqlError.SqlError({
  reason: new SqlError.ConnectionError({ cause: new Error("gone"), message: "gone", operation: "query" }),
})

const brokenDatabases: ReadonlyArray<BrokenDatabase> = [
  {
    driver: "plans by the size that a table has at the time",
    settings: { enable_seqscan: "on", enable_hashjoin: "on", random_page_cost: "4" },
    red: { [byIndex]: "not to contain" },
  },
  {
    driver: "has no transactions",
    breaking: () => ({ transaction: (work) => work }),
    red: { [rollback]: "deeply equal", [join]: "deeply equal" },
  },
  {
    driver: "does not say that a commit was refused",
    breaking: ending((running) => Effect.catchCause(running, () => Effect.void)),
    red: { [refusedCommit]: "to match object" },
  },
  {
    driver: "says only that a commit was refused",
    breaking: ending((running) => Effect.catchDefect(running, () => Effect.die(new Error("refused")))),
    red: { [refusedCommit]: "to match object" },
  },
  {
    driver: "rings before the commit",
    breaking: ringing((bell) => ({
      ...bell,
      ring: Effect.flatMap(bell.next, (next) => Deferred.succeed(next, undefined)),
    })),
    red: { [bellAfter]: "expected true to be false" },
  },
  {
    driver: "never rings",
    breaking: ringing((bell) => ({ ...bell, ring: Effect.void })),
    red: { [bellAfter]: "expected false to be true", [bellAtOnce]: "expected false to be true" },
  },
  {
    driver: "has one bell for all",
    breaking: ({ bell }) => ({ bell: () => bell("the only one") }),
    red: { [bellAtOnce]: "expected true to be false" },
  },
  {
    driver: "answers all who travel together alike",
    breaking: ({ coalesce }) => ({
      coalesce: (many) =>
        coalesce((inputs) => Effect.map(many(inputs), ([first, ...rest]) => [first!, ...rest.map(() => first!)])),
    }),
    red: { [answers]: "deeply equal" },
  },
  {
    driver: "takes what is wrong with one caller for a fault of the server",
    breaking: ({ coalesce }) => ({
      coalesce: (many) => coalesce((inputs) => Effect.mapError(many(inputs), () => lost)),
    }),
    red: { [refusedAlone]: "deeply equal" },
  },
  {
    driver: "lets each caller travel alone",
    breaking: () => ({
      coalesce: (many) => Effect.succeed((input) => Effect.map(Effect.orDie(many([input])), ([output]) => output!)),
    }),
    red: { [answers]: "deeply equal", [leaving]: "deeply equal" },
  },
  {
    driver: "fails all who travel together by the fault of one",
    breaking: ({ coalesce }) => ({
      coalesce: (many) => coalesce((inputs) => Effect.catch(many(inputs), () => Effect.die(oneFailed))),
    }),
    red: { [failsAlone]: "deeply equal" },
  },
  {
    driver: "gives all modules the same tables",
    schemaOf: () => "the_only_one",
    red: { [apart]: "already exists" },
  },
  {
    driver: "does not answer",
    breaking: () => ({ probe: new DatabaseUnavailable({ reason: "it does not answer" }) }),
    red: { [probed]: "it does not answer" },
  },
  {
    driver: "forgets how far it was migrated",
    breaking: ({ upgrading }, sql) => ({
      upgrading: (work) => Effect.andThen(Effect.orDie(forgetting(sql)), upgrading(work)),
    }),
    red: { [migratedOnce]: "already exists", [older]: "already exists" },
  },
  {
    driver: "keeps what a migration did that failed",
    breaking: ({ upgrading }) => ({
      upgrading: (work) =>
        upgrading(
          Effect.updateService(
            work,
            SqlClient.SqlClient,
            (sql) =>
              new Proxy(sql, {
                get: (target, name) =>
                  name === "withTransaction" ? committing(target) : Reflect.get(target, name, target),
              }),
          ),
        ) as never,
    }),
    red: { [failedMigration]: "to match object" },
  },
]

/** The only session is that of all checks, so it gets its settings back. */
const withSettings = (settings: Readonly<Record<string, string>>, sql: SqlClient.SqlClient) =>
  Effect.forEach(Object.entries(settings), ([name, value]) =>
    Effect.acquireRelease(
      Effect.andThen(
        Effect.map(sql<{ was: string }>`select current_setting(${name}) as was`, ([row]) => row!.was),
        (was) => Effect.as(sql`select set_config(${name}, ${value}, false)`, was),
      ),
      (was) => Effect.orDie(sql`select set_config(${name}, ${was}, false)`),
    ),
  )

/** These databases, but for what is wrong. */
const brokenBy = ({ breaking = () => ({}), schemaOf = (module) => module, settings = {} }: BrokenDatabase) =>
  Layer.effect(
    Databases,
    Effect.map(Databases, ({ of }) => ({
      of: (module: string) =>
        Layer.effectContext(
          Effect.gen(function* () {
            const context = yield* Layer.build(of(schemaOf(module)))
            yield* withSettings(settings, Context.get(context, SqlClient.SqlClient))
            const database = Context.get(context, Database)
            const broken = { ...database, ...breaking(database, Context.get(context, SqlClient.SqlClient)) }
            return Context.add(context, Database, broken)
          }),
        ),
    })),
  )

/** A check ends with the complaint about the driver, and not in another way. */
const isRed = (check: Check, broken: BrokenDatabase) =>
  Effect.map(Effect.exit(Effect.provide(run(check), brokenBy(broken))), (exit) => {
    expect(Exit.isSuccess(exit) ? "nothing" : Cause.pretty(exit.cause)).toContain(broken.red[check.name])
  })

layer(drivers(), { excludeTestServices: true })("DatabaseSuite", (it) => {
  for (const check of checks) {
    describe(check.name, () => {
      for (const broken of brokenDatabases.filter(({ red }) => check.name in red)) {
        it.effect(`catches a driver that ${broken.driver}`, () => isRed(check, broken))
      }
    })
  }
})
