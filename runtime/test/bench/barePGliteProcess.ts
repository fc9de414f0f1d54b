import { PGlite } from "@electric-sql/pglite"
import { Effect, Layer, Logger } from "effect"
import { galleria } from "../../compose.ts"
import { drivers } from "../../drivers.ts"
import { readSettings } from "../../config.ts"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { modules } from "../../modules.ts"
import { connect, expect, request } from "./connection.ts"
import type { Ask, Done } from "./barePGlite.ts"
import { orderOf, type Shape, shapes } from "./orders.ts"

/**
 * The process behind `BarePGlite`. It runs Galleria once to learn the bytes by which the driver places one order,
 * then opens the same folder with PGlite alone, and from then on sends it just these bytes, one order at a time.
 */
const dataDir = process.argv[2]!

/** What PGlite is sent from now on, until `stop`; every way into it goes through this one. */
const record = () => {
  const sent: Array<Buffer> = []
  const method = Object.getOwnPropertyDescriptor(PGlite.prototype, "execProtocolRawSync")!
  const replace = (descriptor: PropertyDescriptor) =>
    Object.defineProperty(PGlite.prototype, "execProtocolRawSync", descriptor)
  replace({
    ...method,
    value(this: PGlite, message: Uint8Array) {
      sent.push(Buffer.from(message))
      return method.value.call(this, message)
    },
  })
  return { sent, stop: () => void replace(method) }
}

/** The name that the driver prepares a statement under: it is the first thing that a Parse message says. */
const preparedAs = (sent: ReadonlyArray<Buffer>, text: string) => {
  const parse = sent.find((bytes) => bytes[0] === 0x50 && bytes.includes(text))
  if (parse === undefined) throw new Error(`no statement that says ${text} was prepared`)
  return { parse, name: parse.subarray(5, parse.indexOf(0, 5) + 1) }
}

/** Places orders of each shape through HTTP, and says how the driver did it. */
const learn = Effect.gen(function* () {
  const settings = yield* readSettings({
    env: { DATA_DIR: dataDir, PORT: "0" },
    named: ["user", "order"],
    known: modules,
  })
  const context = yield* Layer.build(Layer.provideMerge(drivers(settings), Layer.sync(Loops, makeLoops)))
  const { url } = yield* Effect.provideContext(galleria(settings), context)
  return yield* Effect.promise(async () => {
    using connection = await connect(Number(new URL(url).port))
    const user = await expect(connection, 201, request("POST", "/users", { email: "bare@example.org", name: "Bare" }))
    const recorder = record()
    const placed = new Map<Shape, Buffer>()
    for (const shape of shapes) {
      // Twice: the first may be the one that prepares the statement.
      for (let n = 0; n < 2; n++) await expect(connection, 201, request("POST", "/orders", orderOf(shape, user.id)))
      const { name } = preparedAs(recorder.sent, "insert into orders")
      const bind = recorder.sent.findLast((bytes) => bytes[0] === 0x42 && bytes.includes(name))
      if (bind === undefined) throw new Error("the statement was not used again")
      placed.set(shape, bind)
    }
    recorder.stop()
    return { placed, ...preparedAs(recorder.sent, "insert into orders") }
  })
}).pipe(Effect.scoped, Effect.provide(Logger.layer([])))

const { placed, parse } = await Effect.runPromise(learn)
const db = await PGlite.create({ dataDir: `${dataDir}/postgres` })
await db.exec('set search_path to "order"')
await db.execProtocolRaw(parse)

const count = async () => (await db.query<{ n: number }>("select count(*) as n from orders")).rows[0]!.n

const place = async ({ shape, millis }: Ask): Promise<Done> => {
  const bytes = placed.get(shape)!
  const before = await count()
  const cpu = process.cpuUsage()
  const from = performance.now()
  let orders = 0
  do {
    await db.execProtocolRaw(bytes)
    orders++
  } while (performance.now() - from < millis)
  const took = performance.now() - from
  const { user, system } = process.cpuUsage(cpu)
  if ((await count()) - before !== orders) throw new Error("the statement did not place an order each time")
  return { orders, millis: took, cpuMillis: (user + system) / 1_000 }
}

process.on("message", async (ask: Ask) => process.send!(await place(ask)))
process.on("disconnect", () => process.exit(0))
process.send!("ready")
